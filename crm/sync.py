"""Run one command against its CRM: resolve, map, call the adapter, outcome. Knows neither Kafka nor HTTP servers.

What it gives back says all that the command leaves behind; whoever called decides about another try and stores it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

from crm import matching, resolution
from crm.adapters.outcome import failed, own_failure
from crm.errors import AccessTokenRejected
from crm.model import (
    CallScope,
    Connection,
    CrmRecord,
    FieldMapping,
    OAuthTokens,
    PulledPage,
    PullOptions,
    PushOptions,
    RecordOutcome,
    SyncResult,
    in_order,
)
from crm.page_size import fit_page
from crm.quota import QuotaGuard
from crm.registry import Registry
from crm.resolution import Resolved
from crm.store import links
from crm.store.engine import Engine
from crm.store.links import RecordLink
from crm.tokens import LiveTokens, TokenSource
from schemas.command import PullCommand, PushCommand, WritePolicy

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class SyncAttempt:
    """What one try of a command came to.

    Attributes:
        outcomes: Of the records that were tried, by index; empty for a pull.
        interrupted_by: The run-level error that stopped a push half-way, else None.
        page: What a pull brought.
        links: Match values that now have a known CRM record.
    """

    resolved: Resolved
    outcomes: tuple[RecordOutcome, ...] = ()
    interrupted_by: Exception | None = None
    page: PulledPage | None = None
    links: tuple[RecordLink, ...] = ()
    record_url_template: str | None = None


class SyncRunner:
    """Runs commands; one instance serves all threads."""

    def __init__(self, engine: Engine, registry: Registry, tokens: TokenSource, quota: QuotaGuard) -> None:
        self._engine = engine
        self._registry = registry
        self._tokens = tokens
        self._quota = quota

    def run(
        self,
        command: PushCommand | PullCommand,
        resolved: Resolved,
        *,
        scope: CallScope,
        only: Sequence[int] | None = None,
        may_have_run: bool = False,
    ) -> SyncAttempt:
        """Try a command once.

        Args:
            command: Valid.
            resolved: What `resolve` said of it just now.
            scope: Leave to call, and the count of calls.
            only: Indices of the records to send; None for all. For a retry of what failed.
            may_have_run: Another worker began the command and died: it may have called the CRM.

        Raises:
            NotConnected, ReauthRequired: a person must connect or reconnect.
            TryAgain, GiveUp, LeaseLost: as the adapter's verbs.
        """
        account_id = resolved.connection.crm_account_id
        self._quota.check(account_id)
        try:
            if isinstance(command, PullCommand):
                return self._pull(command, resolved, scope)
            return self._push_command(command, resolved, scope, as_records(command, only), may_have_run=may_have_run)
        finally:
            self._quota.note(account_id, scope.limits)

    def _push_command(
        self,
        command: PushCommand,
        resolved: Resolved,
        scope: CallScope,
        records: Sequence[CrmRecord],
        *,
        may_have_run: bool,
    ) -> SyncAttempt:
        match_field = matching.choose_match_field(
            command.match_on[0] if command.match_on else None,
            resolved.field_mappings,
            resolved.adapter.default_match_field(resolved.crm_object),
        )
        lost: tuple[RecordOutcome, ...] = ()
        if may_have_run and command.mode == "create":
            lost, records = _unrepeatable(records, resolved.field_mappings, match_field)
        if not records:
            return SyncAttempt(resolved, outcomes=lost)
        link_scope = _link_scope(resolved, match_field)
        options = PushOptions(
            crm_object=resolved.crm_object,
            mode=command.mode,
            match_on=match_field,
            write_policy=command.write_policy,
            default_write_policy=_default_write_policy(resolved.connection),
            strict=command.strict,
            links=self._known_links(link_scope, records, resolved.field_mappings),
            scope=scope,
        )
        tokens, result = self._push(resolved, records, options)
        return SyncAttempt(
            resolved,
            outcomes=in_order((*lost, *result.outcomes)),
            interrupted_by=result.interrupted_by,
            links=_new_links(link_scope, result.outcomes) if command.mode != "delete" else (),
            record_url_template=resolved.adapter.record_url_template(tokens, resolved.crm_object),
        )

    def _push(
        self, resolved: Resolved, records: Sequence[CrmRecord], options: PushOptions
    ) -> tuple[OAuthTokens, SyncResult]:
        """Push; when the token was refused half-way, send what is left once more with a new one."""

        def push(some: Sequence[CrmRecord]) -> tuple[LiveTokens, SyncResult]:
            return self._with_live_token(
                resolved,
                lambda tokens: resolved.adapter.push_records(tokens, some, resolved.field_mappings, options=options),
            )

        live, result = push(records)
        if not isinstance(result.interrupted_by, AccessTokenRejected):
            return live.tokens, result
        left = {outcome.index for outcome in result.outcomes if outcome.retryable}
        if not left:
            return live.tokens, replace(result, interrupted_by=None)
        self._tokens.after_rejection(resolved.connection, live.version)
        live, second = push([record for record in records if record.index in left])
        return live.tokens, _merge_results(result, second)

    def resolve(self, command: PushCommand | PullCommand) -> Resolved:
        """As `crm.resolution.resolve`."""
        return resolution.resolve(self._engine, self._registry, command)

    def _pull(self, command: PullCommand, resolved: Resolved, scope: CallScope) -> SyncAttempt:
        options = PullOptions(
            modified_since=command.modified_since,
            cursor=command.cursor,
            fields=tuple(command.fields) if command.fields else None,
            include_deleted=command.include_deleted,
            scope=scope,
        )

        def pull(tokens: OAuthTokens, limit: int) -> PulledPage:
            return resolved.adapter.pull_records(
                tokens, resolved.crm_object, resolved.field_mappings, limit, options=options
            )

        live, page = self._with_live_token(
            resolved, lambda tokens: fit_page(lambda limit: pull(tokens, limit), command.limit)
        )
        return SyncAttempt(
            resolved,
            page=page,
            record_url_template=resolved.adapter.record_url_template(live.tokens, resolved.crm_object),
        )

    def _with_live_token(self, resolved: Resolved, call: Callable[[OAuthTokens], Reply]) -> tuple[LiveTokens, Reply]:
        """Call with a token that works now; refused once, it is refreshed once and the call made once more."""
        live = self._tokens.access(resolved.connection)
        try:
            return live, call(live.tokens)
        except AccessTokenRejected:
            live = self._tokens.after_rejection(resolved.connection, live.version)
            return live, call(live.tokens)

    def _known_links(
        self, scope: links.LinkScope | None, records: Sequence[CrmRecord], field_mappings: Sequence[FieldMapping]
    ) -> dict[str, str]:
        if scope is None:
            return {}
        source = matching.morket_match_field(scope.match_field, field_mappings)
        values = [matching.match_value(record, source) for record in records] if source else []
        with self._engine.begin() as connection:
            return links.known(connection, scope, [value for value in values if value])


def as_records(command: PushCommand, only: Sequence[int] | None = None) -> list[CrmRecord]:
    """The records of a command in the inside's form; those of `only`, or all."""
    wanted = range(len(command.records)) if only is None else only
    return [
        CrmRecord(
            fields=command.records[index].fields,
            index=index,
            ref=command.records[index].ref,
            crm_id=command.records[index].crm_id,
            clear=tuple(command.records[index].clear),
        )
        for index in wanted
    ]


def _default_write_policy(connection: Connection) -> WritePolicy:
    stored = connection.settings.get("write_policy", "overwrite")
    return stored if stored in get_args(WritePolicy) else "overwrite"


def _unrepeatable(
    records: Sequence[CrmRecord], field_mappings: Sequence[FieldMapping], match_field: str | None
) -> tuple[tuple[RecordOutcome, ...], list[CrmRecord]]:
    """Creates that may have happened and that nothing could find again, and the records that can be tried.

    The worker that began the command died; a create without match value is never repeated.
    """
    source = matching.morket_match_field(match_field, field_mappings) if match_field else None
    lost, rest = [], []
    for record in records:
        if record.crm_id or (source and matching.match_value(record, source)):
            rest.append(record)
            continue
        text = "a worker stopped while it wrote this record, and without a match value it cannot be looked up"
        lost.append(failed(record, own_failure("outcome_unknown", text)))
    return tuple(lost), rest


def _link_scope(resolved: Resolved, match_field: str | None) -> links.LinkScope | None:
    account = resolved.connection.crm_account_id
    if match_field is None or account is None:
        return None
    return links.LinkScope(resolved.connection.id, account, resolved.crm_object, match_field)


def _new_links(scope: links.LinkScope | None, outcomes: Sequence[RecordOutcome]) -> tuple[links.RecordLink, ...]:
    if scope is None:
        return ()
    return tuple(
        links.RecordLink(scope, outcome.match_value, outcome.crm_id)
        for outcome in outcomes
        if outcome.match_value and outcome.crm_id and outcome.action in ("created", "updated", "unchanged")
    )


def _merge_results(first: SyncResult, second: SyncResult) -> SyncResult:
    """The outcomes of a second call in place of those that it sent again."""
    again = {outcome.index: outcome for outcome in second.outcomes}
    outcomes = tuple(again.get(outcome.index, outcome) for outcome in first.outcomes)
    return replace(second, outcomes=outcomes)

"""Plain frozen values of the inside: tokens, mappings, records, outcomes. No I/O, no vendor names."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from schemas.command import PushMode, WritePolicy
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue

ConnectionStatus = Literal["connected", "reauth_required", "disconnected"]
MappingDirection = Literal["push", "pull", "both"]
Action = Literal["created", "updated", "unchanged", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class OAuthTokens:
    """What a token endpoint gave (RFC 6749 section 5.1), kept encrypted as a whole.

    Attributes:
        expires_at: UTC; None where the CRM tells no life time (Salesforce).
        account_id: The CRM account that was connected (org id, hub id).
        account_name, user: For people; may be missing.
        instance_url: Where this account's API lives; None for CRMs with one host.
        login_host: Origin of the authorization server of this connection; None for CRMs with one.
        extra: Whatever else the adapter needs at the next call; JSON values only.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False, default=None)
    expires_at: datetime | None = None
    scope: tuple[str, ...] = ()
    account_id: str | None = None
    account_name: str | None = None
    user: str | None = None
    instance_url: str | None = None
    login_host: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON document, for the vault only."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["expires_at"] = self.expires_at.isoformat() if self.expires_at else None
        content["scope"] = list(self.scope)
        content["extra"] = dict(self.extra)
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; unknown keys of a later version are left out."""
        content = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        if content.get("expires_at"):
            content["expires_at"] = datetime.fromisoformat(content["expires_at"])
        content["scope"] = tuple(content.get("scope") or ())
        return cls(**content)


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One Morket field tied to one CRM field for one object.

    Attributes:
        fallback: Used for a push only when no earlier mapping filled the same CRM field (company_domain -> Website).
        identifier: The field that records are matched by.
    """

    morket_field: str
    crm_field: str
    direction: MappingDirection = "both"
    write_policy: WritePolicy | None = None
    identifier: bool = False
    fallback: bool = False
    value_map: Mapping[str, str] = field(default_factory=dict)
    default_value: str | None = None


@dataclass(frozen=True, slots=True)
class CrmRecord:
    """One record in Morket's field names.

    For a push: `index` is its place in the command. For a pull: `crm_id`, `modified_at` and `deleted` are filled.
    """

    fields: Mapping[str, FieldValue]
    index: int = 0
    ref: str | None = None
    crm_id: str | None = None
    clear: tuple[str, ...] = ()
    modified_at: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """What became of one pushed record; `match_value` is the normalised key under which it was found or made."""

    index: int
    action: Action
    ref: str | None = None
    crm_id: str | None = None
    errors: tuple[Failure, ...] = ()
    warnings: tuple[OutcomeWarning, ...] = ()
    merged_into: int | None = None
    match_value: str | None = None

    @property
    def retryable(self) -> bool:
        """True for a failed record whose every error may go away by itself."""
        return self.action == "failed" and bool(self.errors) and all(error.retryable for error in self.errors)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What an adapter's push gives: one outcome for each record, in the order of the records.

    Attributes:
        interrupted_by: The run-level error that stopped the push (`TryAgain`, `AccessTokenRejected`, ...); the records
            that it touched are `failed` with `retryable` errors, the others are final.
    """

    outcomes: tuple[RecordOutcome, ...]
    interrupted_by: Exception | None = None


@dataclass(frozen=True, slots=True)
class PulledPage:
    """What an adapter's pull gives. Iterating yields the records.

    Attributes:
        cursor: Always there: passing it next time brings only what changed since.
        has_more: True when more records were ready than the limit allowed.
    """

    records: tuple[CrmRecord, ...]
    cursor: str
    has_more: bool = False

    def __iter__(self) -> Iterator[CrmRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What a CRM's reply said of its account's limits; None where it said nothing.

    Attributes:
        daily_used, daily_max: Calls of the rolling day (Salesforce `Sforce-Limit-Info`).
        window_left, window_max, window_s: Calls left in the short window, its size and its length in seconds.
    """

    daily_used: int | None = None
    daily_max: int | None = None
    window_left: int | None = None
    window_max: int | None = None
    window_s: float | None = None


@dataclass(slots=True)
class CallScope:
    """One command's leave to call its CRM, and the count of the calls that it cost.

    Attributes:
        before_send: Called with the call's total timeout in seconds just before each send; raises `LeaseLost` when the
            worker may not send any more.
        api_calls: Calls that left, token calls not counted.
        limits: What the last reply that spoke of limits said; written by the adapter.
    """

    before_send: Callable[[float], None] = lambda _timeout_s: None
    api_calls: int = 0
    limits: AccountLimits | None = None


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How to push.

    Attributes:
        write_policy: The command's own; it comes before a mapping's.
        default_write_policy: The connection's, for fields whose mapping says nothing.
        links: Normalised match value -> the CRM id that an earlier push recorded.
    """

    crm_object: str
    mode: PushMode = "upsert"
    match_on: str | None = None
    write_policy: WritePolicy | None = None
    default_write_policy: WritePolicy = "overwrite"
    strict: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    scope: CallScope = field(default_factory=CallScope)


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How to pull. `fields` None means every field that is mapped for reading."""

    modified_since: datetime | None = None
    cursor: str | None = None
    fields: tuple[str, ...] | None = None
    include_deleted: bool = False
    scope: CallScope = field(default_factory=CallScope)


@dataclass(frozen=True, slots=True)
class Connection:
    """A workspace's link to one CRM account, as stored. Tokens are apart: see `crm.tokens`."""

    id: UUID
    workspace_id: UUID
    integration_slug: str
    status: ConnectionStatus
    connected_at: datetime
    token_version: int = 0
    crm_account_id: str | None = None
    crm_account_name: str | None = None
    crm_user: str | None = None
    login_host: str | None = None
    status_reason: str | None = None
    event_sequence: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One live field of a CRM object, as the CRM describes it."""

    name: str
    label: str
    kind: str
    max_length: int | None = None
    required: bool = False
    createable: bool = True
    updateable: bool = True
    unique: bool = False
    restricted: bool = False
    external_id: bool = False
    options: tuple[tuple[str, str], ...] = ()  # (value, label)


def in_order(outcomes: Sequence[RecordOutcome]) -> tuple[RecordOutcome, ...]:
    """The outcomes by record index."""
    return tuple(sorted(outcomes, key=lambda outcome: outcome.index))

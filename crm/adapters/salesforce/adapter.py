"""The Salesforce adapter: the owner's interface over the parts of this package."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from crm.adapters.salesforce import defaults, lookup, soql
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.deletion import Deletion
from crm.adapters.salesforce.describe import DescribeCache
from crm.adapters.salesforce.errors import FIELD_CODES, GONE_CODES, messages_in
from crm.adapters.salesforce.oauth import SalesforceOAuth
from crm.adapters.salesforce.pull import pull
from crm.adapters.salesforce.push import Push
from crm.adapters.salesforce.relationships import with_related
from crm.errors import CallRefused, CommandRefused
from crm.http import HttpClient
from crm.matching import long_id
from crm.model import (
    CallScope,
    CrmRecord,
    FieldDescription,
    FieldMapping,
    OAuthTokens,
    PulledPage,
    PullOptions,
    PushOptions,
    SyncResult,
)
from crm.settings import OAuthClient

_DELETE_BATCH = 200
Outcome = TypeVar("Outcome")
Given_co = TypeVar("Given_co", covariant=True)


class _Runner(Protocol[Given_co]):
    """A push or pull; `may_be_stale`: its fields were read up to an hour ago."""

    def __call__(self, *, may_be_stale: bool) -> Given_co: ...


class SalesforceAdapter:
    """See `crm.adapters.contract.CrmAdapter`, which says what each verb does and raises.

    Args:
        http: Allowed to call Salesforce's hosts.
        client: None where the operator has registered none: then nobody can connect.
        api_version: Such as `v67.0`.
        sandbox_origin: `http://127.0.0.1:PORT` of a stand-in, or None.
        clock: Monotonic seconds.
    """

    slug = defaults.SLUG
    name = "Salesforce"
    capabilities = defaults.CAPABILITIES

    def __init__(
        self,
        http: HttpClient,
        client: OAuthClient | None,
        *,
        api_version: str,
        sandbox_origin: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._oauth = SalesforceOAuth(http, client, api_version, sandbox_origin)
        self._api_version = api_version
        self._sandbox_origin = sandbox_origin
        self._describes = DescribeCache(clock)

    def get_auth_url(
        self, state: str, redirect_uri: str, *, code_challenge: str | None = None, login_host: str | None = None
    ) -> str:
        """The authorization request to send the browser to."""
        return self._oauth.authorization_url(state, redirect_uri, code_challenge, login_host)

    def exchange_code(
        self,
        code: str,
        redirect_uri: str,
        *,
        code_verifier: str | None = None,
        login_host: str | None = None,
        callback_params: Mapping[str, str] | None = None,  # noqa: ARG002 - Salesforce's callback says nothing more
    ) -> OAuthTokens:
        """Change an authorization code into tokens."""
        return self._oauth.exchange(code, redirect_uri, code_verifier, login_host)

    def refresh_token(self, refresh_token: str, *, tokens: OAuthTokens | None = None) -> OAuthTokens:
        """New tokens for a refresh token; the result holds the refresh token to keep."""
        return self._oauth.refresh(refresh_token, tokens)

    def revoke(self, tokens: OAuthTokens) -> None:
        """Revoke the grant; one that is dead already counts as done."""
        self._oauth.revoke(tokens)

    def push_records(
        self,
        tokens: OAuthTokens,
        records: Sequence[CrmRecord],
        field_mappings: Sequence[FieldMapping],
        *,
        options: PushOptions,
    ) -> SyncResult:
        """Write 1 to 200 records; one outcome for each."""
        org = self._org(tokens, options.scope)
        default = self.default_match_field(options.crm_object)

        def push(*, may_be_stale: bool) -> SyncResult:
            if options.mode == "delete":
                return Deletion(org, self._describes, field_mappings, options, default).run(records)
            return Push(org, self._describes, field_mappings, options, default, may_be_stale).run(records)

        return self._with_live_fields(org, push)

    def pull_records(
        self,
        tokens: OAuthTokens,
        entity: str,
        field_mappings: Sequence[FieldMapping],
        limit: int,
        *,
        options: PullOptions | None = None,
    ) -> PulledPage:
        """Read up to `limit` records that changed since the cursor."""
        how = options or PullOptions()
        org = self._org(tokens, how.scope)
        names = [mapping.crm_field for mapping in field_mappings]

        def read(*, may_be_stale: bool) -> PulledPage:  # noqa: ARG001 - a pull says by itself what it cannot read
            fields = self._describes.get(org, entity)
            related = with_related(fields, names, lambda name: self._describes.get(org, name))
            return pull(org, related, field_mappings, limit, how)

        return self._with_live_fields(org, read)

    def read_records(
        self,
        tokens: OAuthTokens,
        crm_object: str,
        crm_ids: Sequence[str],
        crm_fields: Sequence[str],
        *,
        scope: CallScope,
    ) -> Mapping[str, Mapping[str, object]]:
        """CRM id -> Salesforce's own field values, for the ids that exist."""
        rows = lookup.by_id(self._org(tokens, scope), crm_object, crm_ids, crm_fields)
        live = ((crm_id, rows.get(long_id(crm_id))) for crm_id in crm_ids)
        return {crm_id: {name: row.get(name) for name in crm_fields} for crm_id, row in live if row is not None}

    def delete_records(
        self, tokens: OAuthTokens, crm_object: str, crm_ids: Sequence[str], *, scope: CallScope
    ) -> Mapping[str, bool]:
        """Delete by id, into Salesforce's recycle bin. Ids of other objects are left alone.

        Source: REST API Developer Guide, resources_composite_sobjects_collections_delete.htm.
        """
        org = self._org(tokens, scope)
        # The call deletes whatever the ids stand for, of any object: only those of this one may go.
        live = list(lookup.by_id(org, crm_object, crm_ids, ()))
        gone: set[str] = set()
        for start in range(0, len(live), _DELETE_BATCH):
            batch = live[start : start + _DELETE_BATCH]
            params = {"ids": ",".join(batch), "allOrNone": "false"}
            results = org.call("DELETE", "/composite/sobjects", params=params, writes=True)
            gone |= {crm_id for crm_id, result in zip(batch, results, strict=False) if _is_deleted(result)}
        return {crm_id: long_id(crm_id) in gone for crm_id in crm_ids}

    def describe_fields(
        self, tokens: OAuthTokens, crm_object: str, *, scope: CallScope
    ) -> tuple[FieldDescription, ...]:
        """The live fields of an object, from a memory of at most an hour."""
        return tuple(self._describes.get(self._org(tokens, scope), crm_object).by_name.values())

    def resolve_object(self, entity: str, settings: Mapping[str, object]) -> str:
        """The sObject for `person` (setting `person_object`: Lead or Contact), `company`, or a name in any case."""
        choices = self.capabilities.entities.get(entity.lower())
        if choices is None:
            known = {name.lower(): name for name in defaults.MAPPINGS}
            return known.get(entity.lower()) or soql.identifier(entity)
        wanted = str(settings.get(f"{entity.lower()}_object") or choices[0])
        found = next((choice for choice in choices if choice.lower() == wanted.lower()), None)
        if found is None:
            raise CommandRefused(f"{entity} cannot be {wanted} in Salesforce", code="no_mapping_for_entity")
        return found

    def default_mappings(self, crm_object: str) -> tuple[FieldMapping, ...]:
        """The mappings that hold where a workspace has made none."""
        return defaults.MAPPINGS.get(crm_object, ())

    def default_match_field(self, crm_object: str) -> str | None:
        """`email` for people, `company_domain` for accounts."""
        return defaults.MATCH_FIELDS.get(crm_object)

    def record_url_template(self, tokens: OAuthTokens, crm_object: str) -> str | None:  # noqa: ARG002 - one form for all
        """A link that Salesforce redirects to the record's page."""
        return f"{tokens.instance_url}/{{crm_id}}" if tokens.instance_url else None

    def _with_live_fields(self, org: Org, run: _Runner[Outcome]) -> Outcome:
        """Run; once more when a field that was described an hour ago proves to be gone before anything was written."""
        try:
            return run(may_be_stale=True)
        except CallRefused as refusal:
            if refusal.crm_code not in FIELD_CODES:
                raise
        self._describes.drop(org)
        return run(may_be_stale=False)

    def _org(self, tokens: OAuthTokens, scope: CallScope) -> Org:
        return Org(self._http, tokens, self._api_version, scope, self._sandbox_origin)


def _is_deleted(result: object) -> bool:
    if not isinstance(result, dict):
        return False
    return result.get("success") is True or any(
        message.code in GONE_CODES for message in messages_in(result.get("errors") or [])
    )

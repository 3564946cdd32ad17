"""What a CRM adapter is: a fact sheet and a few verbs.

An adapter knows one CRM's wire. It never stores anything, never logs a body, never refreshes a token by itself and
never decides whether a whole command is run again. Its errors are those of `crm.errors`; a CRM's own codes are
translated by one table in the adapter. A new CRM is one file here and one line in `crm.registry`; the conformance suite
then runs on it unedited.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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
from schemas.command import PushMode


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The fact sheet of a CRM.

    Attributes:
        entities: Neutral entity -> the CRM objects that it may stand for; the first is the default.
        batch_size: Records per write call.
        pkce: Whether authorization uses PKCE S256 (RFC 7636).
        rotates_refresh_token: Whether a refresh may replace the refresh token.
        revocation: What revoking kills: `full` = access tokens too, `refresh_only`, `none`.
        search_lag_s: Seconds until a created record can be found.
        login_hosts: Name -> origin of the authorization servers that a person may choose; empty for CRMs with one.
        modes: The push modes that are built.
    """

    entities: Mapping[str, tuple[str, ...]]
    batch_size: int
    pkce: bool
    rotates_refresh_token: bool
    revocation: Literal["full", "refresh_only", "none"]
    search_lag_s: float
    scopes: tuple[str, ...]
    login_hosts: Mapping[str, str]
    modes: frozenset[PushMode]


class CrmAdapter(Protocol):
    """The owner's interface, with optional keywords for what real CRMs need."""

    slug: str
    name: str
    capabilities: Capabilities

    def get_auth_url(
        self, state: str, redirect_uri: str, *, code_challenge: str | None = None, login_host: str | None = None
    ) -> str:
        """The authorization request to send the browser to (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

        Args:
            state: Opaque, unguessable.
            redirect_uri: Exactly as registered.
            code_challenge: S256 challenge, where `capabilities.pkce`.
            login_host: Origin of the authorization server; default: the CRM's first.

        Raises:
            CommandRefused: `login_host` is not one of the vendor's own hosts.
        """
        ...

    def exchange_code(
        self,
        code: str,
        redirect_uri: str,
        *,
        code_verifier: str | None = None,
        login_host: str | None = None,
        callback_params: Mapping[str, str] | None = None,
    ) -> OAuthTokens:
        """Change an authorization code into tokens (RFC 6749 section 4.1.3), with the CRM account's identity filled in.

        Raises:
            ReauthRequired: the code is used, expired or foreign.
            ConfigurationFault: wrong client settings.
            TryAgain: the token endpoint does not answer.
            GiveUp: the reply is not usable, or points to a host that is not the vendor's.
        """
        ...

    def refresh_token(self, refresh_token: str, *, tokens: OAuthTokens | None = None) -> OAuthTokens:
        """New tokens for a refresh token (RFC 6749 section 6). The result always holds the refresh token to keep.

        Args:
            refresh_token: The one in force.
            tokens: The tokens that it came with: the adapter keeps their account, host and extras.

        Raises:
            ReauthRequired: the grant is dead.
            ConfigurationFault, TryAgain, GiveUp: as for `exchange_code`.
        """
        ...

    def revoke(self, tokens: OAuthTokens) -> None:
        """Revoke the grant at the CRM (RFC 7009); a token that is already dead counts as done.

        Raises:
            TryAgain: the endpoint does not answer.
            GiveUp: it refuses.
        """
        ...

    def push_records(
        self,
        tokens: OAuthTokens,
        records: Sequence[CrmRecord],
        field_mappings: Sequence[FieldMapping],
        *,
        options: PushOptions,
    ) -> SyncResult:
        """Write 1 to 200 records; one outcome for each, in their order.

        Raises before the first write only: `TryAgain`, `AccessTokenRejected`, `PermissionDenied`, `CommandRefused`,
        `LeaseLost`.
        After it, such an error is `SyncResult.interrupted_by` and the records that it touched are failed and retryable
        (`LeaseLost` is always raised).
        """
        ...

    def pull_records(
        self,
        tokens: OAuthTokens,
        entity: str,
        field_mappings: Sequence[FieldMapping],
        limit: int,
        *,
        options: PullOptions | None = None,
    ) -> PulledPage:
        """Read up to `limit` records of the CRM object `entity` that changed since the cursor, oldest change first.

        Raises:
            CommandRefused: code `invalid_cursor`.
            TryAgain, AccessTokenRejected, PermissionDenied, LeaseLost.
        """
        ...

    def read_records(
        self,
        tokens: OAuthTokens,
        crm_object: str,
        crm_ids: Sequence[str],
        crm_fields: Sequence[str],
        *,
        scope: CallScope,
    ) -> Mapping[str, Mapping[str, object]]:
        """CRM id -> the CRM's own field values, for the ids that exist."""
        ...

    def delete_records(
        self, tokens: OAuthTokens, crm_object: str, crm_ids: Sequence[str], *, scope: CallScope
    ) -> Mapping[str, bool]:
        """Delete (or archive) by id: CRM id -> whether it existed and is gone now."""
        ...

    def describe_fields(
        self, tokens: OAuthTokens, crm_object: str, *, scope: CallScope
    ) -> tuple[FieldDescription, ...]:
        """The live fields of an object.

        Raises:
            CommandRefused: code `no_mapping_for_entity`, the CRM has no such object.
        """
        ...

    def resolve_object(self, entity: str, settings: Mapping[str, object]) -> str:
        """The CRM object for `person`, `company` or the CRM's own name in any case, by the connection's settings."""
        ...

    def default_mappings(self, crm_object: str) -> tuple[FieldMapping, ...]:
        """The mappings that hold where a workspace has made none; empty for an object that has no defaults."""
        ...

    def default_match_field(self, crm_object: str) -> str | None:
        """The Morket field that records of this object are matched by (`email`, `company_domain`), or None."""
        ...

    def record_url_template(self, tokens: OAuthTokens, crm_object: str) -> str | None:
        """A link to a record in the CRM's own pages, with `{crm_id}` to replace."""
        ...

"""Authorization codes, grants and tokens of one CRM (RFC 6749 sections 1.3 to 1.5, RFC 7636).

A **grant** is one approval: this person let this client act in this account. It lives on through rotations of its
refresh token and ends when it is revoked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person agreed to on the consent page."""

    client_id: str
    account_id: str
    user_id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A single-use code, bound to its client, redirect URI and PKCE challenge; ``expires_at`` is in epoch seconds."""

    value: str
    approval: Approval
    redirect_uri: str
    code_challenge: str | None
    expires_at: float


@dataclass(eq=False, slots=True)
class Grant:
    """A live or revoked approval with its current refresh token."""

    approval: Approval
    refresh_token: str | None = None
    is_revoked: bool = False
    access_tokens: list["AccessToken"] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class AccessToken:
    """An access token; ``issued_at`` and ``expires_at`` are epoch seconds."""

    value: str
    grant: Grant
    issued_at: float
    expires_at: float
    is_revoked: bool = False

    def is_expired(self, now: float) -> bool:
        """Tell whether its life is over."""
        return now >= self.expires_at


class GrantBook:
    """All codes, grants and tokens that one CRM has issued since its last reset."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._codes: dict[str, AuthorizationCode] = {}
        self._access: dict[str, AccessToken] = {}
        self._current: dict[str, Grant] = {}
        self._used: dict[str, Grant] = {}
        self._grants: list[Grant] = []

    def add_code(self, code: AuthorizationCode) -> None:
        """Keep a code until it is presented."""
        self._codes[code.value] = code

    def take_code(self, value: str) -> AuthorizationCode | None:
        """Use up a code; ``None`` when it is unknown, used before, or too old."""
        code = self._codes.pop(value, None)
        return code if code is not None and self.clock() < code.expires_at else None

    def open_grant(self, approval: Approval, max_live: int = 0) -> Grant:
        """Start a grant; with ``max_live`` above 0 the oldest live ones of the same user and client are dropped."""
        grant = Grant(approval)
        same = [
            known
            for known in self._grants
            if not known.is_revoked
            and known.approval.user_id == approval.user_id
            and known.approval.client_id == approval.client_id
        ]
        for dropped in same[: max(0, len(same) + 1 - max_live)] if max_live else []:
            self.revoke(dropped)
        self._grants.append(grant)
        return grant

    def set_refresh_token(self, grant: Grant, value: str) -> None:
        """Give a grant its (next) refresh token; the one before is remembered as used."""
        if grant.refresh_token is not None:
            self._current.pop(grant.refresh_token, None)
            self._used[grant.refresh_token] = grant
        grant.refresh_token = value
        self._current[value] = grant

    def add_access_token(self, grant: Grant, value: str, life_s: float) -> AccessToken:
        """Issue an access token of the grant with this life in seconds."""
        now = self.clock()
        token = AccessToken(value, grant, now, now + life_s)
        grant.access_tokens = [known for known in grant.access_tokens if not known.is_expired(now)]
        grant.access_tokens.append(token)
        self._access[value] = token
        return token

    def by_refresh_token(self, value: str) -> Grant | None:
        """Return the live grant whose current refresh token this is."""
        return self._current.get(value)

    def by_used_refresh_token(self, value: str) -> Grant | None:
        """Return the grant that once had this refresh token and rotated it away."""
        return self._used.get(value)

    def access_token(self, value: str) -> AccessToken | None:
        """Return what is known of an access token, expired or revoked ones included."""
        return self._access.get(value)

    def revoke(self, grant: Grant, *, with_access_tokens: bool = True) -> None:
        """End a grant: its refresh token dies, and by default its access tokens too."""
        grant.is_revoked = True
        if grant.refresh_token is not None:
            self._current.pop(grant.refresh_token, None)
        if with_access_tokens:
            for token in grant.access_tokens:
                token.is_revoked = True

    def revoke_account(self, account_id: str) -> int:
        """End every live grant of an account, as a customer does who uninstalls the app; return how many."""
        live = [grant for grant in self._grants if grant.approval.account_id == account_id and not grant.is_revoked]
        for grant in live:
            self.revoke(grant)
        return len(live)

    def expire_access_tokens(self, account_id: str) -> int:
        """Let every access token of an account expire now; return how many were alive."""
        now = self.clock()
        alive = [
            token
            for token in self._access.values()
            if token.grant.approval.account_id == account_id and not token.is_expired(now)
        ]
        for token in alive:
            token.expires_at = now
        return len(alive)

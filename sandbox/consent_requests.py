"""Authorization requests that wait for a person's decision on the consent page."""

import secrets
from dataclasses import dataclass

from sandbox.config import Crm, OAuthClient

_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A valid authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""

    crm: Crm
    client: OAuthClient
    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...]
    code_challenge: str | None
    account_id: str | None = None
    """The only account to choose from; ``None`` = the person chooses."""
    login_hint: str | None = None
    """The user name whose account is chosen beforehand."""


class PendingConsents:
    """Requests by the unguessable id in their page's form; each is decided once."""

    def __init__(self) -> None:
        self._waiting: dict[str, ConsentRequest] = {}

    def add(self, request: ConsentRequest) -> str:
        """Keep a request and return its id; the oldest is forgotten when very many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        consent_id = secrets.token_urlsafe(24)
        self._waiting[consent_id] = request
        return consent_id

    def take(self, consent_id: str) -> ConsentRequest | None:
        """Return and forget a request."""
        return self._waiting.pop(consent_id, None)

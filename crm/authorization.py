"""The values of an authorization, and the pure decisions about them. No I/O."""

import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import UUID

from crm.model import Connection, OAuthTokens

#: Life of a ticket, of a state and of a confirmation, each from its own beginning.
ATTEMPT_LIFE: Final = timedelta(minutes=10)
_SECRET_BYTES: Final = 32  # 256 bits
_VISIBLE_ASCII: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Ticket:
    """The single-use secret of a connect link."""

    ticket: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TicketPage:
    """What the page of a ticket shows before anything happens.

    Attributes:
        login_hosts: Name -> origin of the authorization servers to choose from; empty for a CRM with one.
        login_host: The one that the ticket fixes, else the one of the connection that is there already, else None.
    """

    workspace_id: UUID
    workspace_name: str
    slug: str
    crm_name: str
    requested_by: str
    login_hosts: Mapping[str, str]
    login_host: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to send the browser, and the secret that its cookie must bring back.

    Attributes:
        cookie_key: Names the cookie of this state; not secret. `complete` asks for the secret by it.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    browser_secret: str = field(repr=False)
    cookie_key: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Completed:
    """How a callback, or a confirmation, ended.

    Attributes:
        connection: As stored now; None while a confirmation is needed and there is nothing new to show.
        previous_account: Name or id of the account that was connected before, where it is another one.
        confirmation_token: Set when `needs_confirmation`: what `confirm` or `reject` wants back.
    """

    connection: Connection | None
    account_id: str
    account_name: str | None
    user: str | None
    previous_account: str | None = None
    needs_confirmation: bool = False
    confirmation_token: str | None = field(repr=False, default=None)
    return_to: str | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """How a disconnect ended: the tokens are forgotten here in any case.

    Attributes:
        revoked: Whether the CRM confirmed that the grant is gone there, too.
        note: What a person should know (why it was not revoked, what lives on for a while); may be empty.
    """

    connection: Connection
    revoked: bool
    note: str


def new_secret() -> str:
    """256 random bits, safe in URLs and cookies."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def hashed(secret: str) -> bytes:
    """SHA-256: what is stored of a ticket, a state and a browser secret. They are random, so no salt is needed."""
    return sha256(secret.encode("utf-8", "replace")).digest()


def cookie_key(state: str) -> str:
    """The name of a state's cookie: 16 hex digits, from which the state cannot be told."""
    return sha256(b"cookie/" + state.encode("utf-8", "replace")).hexdigest()[:16]


def code_challenge(code_verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(sha256(code_verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def may_return_to(return_to: str, own_url: str) -> bool:
    """Tell whether the browser may be sent to `return_to` afterwards: a path of our own site, or a URL on it."""
    if not _VISIBLE_ASCII.fullmatch(return_to) or "\\" in return_to:
        return False  # browsers read a backslash as a slash and skip control characters
    if return_to.startswith("/"):
        return not return_to.startswith("//")
    return origin_of(return_to) == origin_of(own_url)


def issuer_is_expected(issuer: str, authorization_url: str, login_host: str | None) -> bool:
    """Tell whether an `iss` parameter names the server that was asked (RFC 9207 section 2.4)."""
    expected = {origin_of(authorization_url)} | ({login_host.rstrip("/")} if login_host else set())
    return issuer.rstrip("/") in expected


@dataclass(frozen=True, slots=True)
class AttemptPayload:
    """What an attempt remembers, sealed.

    Attributes:
        settings: For the connection to be made (Salesforce: which object a person is); None keeps what is there.
        code_verifier: PKCE (RFC 7636); None where the CRM does not use it.
        asked: Origin of the authorization server that the browser was sent to.
        tokens: `OAuthTokens.to_json` while a confirmation is awaited.
    """

    settings: Mapping[str, Any] | None = None
    code_verifier: str | None = field(repr=False, default=None)
    asked: str | None = None
    tokens: str | None = field(repr=False, default=None)

    def to_json(self) -> str:
        """One JSON document, for the vault only."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def attempt_purpose(attempt_id: UUID) -> str:
    """The vault purpose of one attempt's payload: it opens in its own row only."""
    return f"authorization/{attempt_id}"


def other_account(previous: Connection | None, tokens: OAuthTokens) -> str | None:
    """Name or id of the account that was connected before, where it is another one than that of `tokens`."""
    if previous is None or previous.crm_account_id is None or previous.crm_account_id == tokens.account_id:
        return None
    return previous.crm_account_name or previous.crm_account_id


def completed(
    tokens: OAuthTokens,
    *,
    connection: Connection | None,
    previous_account: str | None,
    return_to: str | None,
    confirmation_token: str | None = None,
) -> Completed:
    """How it ended, in the words of `tokens`; a confirmation is needed where there is a token for it."""
    assert tokens.account_id is not None, "checked after the exchange"
    return Completed(
        connection=connection,
        account_id=tokens.account_id,
        account_name=tokens.account_name,
        user=tokens.user,
        previous_account=previous_account,
        needs_confirmation=confirmation_token is not None,
        confirmation_token=confirmation_token,
        return_to=return_to,
    )

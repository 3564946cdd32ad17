"""Why an authorization did not work: a small tree with stable codes and a text for the person in front of the page.

AuthorizationFailed
├── RequestRefused           the caller of `begin` or `disconnect` asked for something that is not there
├── AttemptInvalid           this link, state or confirmation cannot be used: begin again
├── ConsentRefused           the person, or the CRM, said no on the CRM's page
└── ExchangeFailed           the code could not be turned into tokens
"""

from typing import Final

from crm.errors import CrmError

#: Code -> what the page says.
AUTHORIZATION_FAILURES: Final[dict[str, str]] = {
    "unknown_workspace": "There is no such workspace.",
    "unknown_integration": "There is no such integration.",
    "integration_not_configured": "This CRM is not configured on this server; an operator must set its client.",
    "not_connected": "This CRM is not connected to the workspace.",
    "return_to_refused": "The address to return to is not on this product's own site.",
    "ticket_invalid": "This link is not valid. Ask for a new one.",
    "ticket_used": "This link was used already. Ask for a new one.",
    "ticket_expired": "This link has expired. Ask for a new one.",
    "state_invalid": "This authorization was not begun here. Ask for a new link.",
    "state_used": "This authorization was completed already. Ask for a new link to connect again.",
    "state_expired": "This authorization took too long. Ask for a new link.",
    "wrong_browser": "This authorization was begun in another browser. Open the link in the browser that you use now.",
    "confirmation_invalid": "This confirmation is not valid. Ask for a new link.",
    "confirmation_used": "This confirmation was answered already.",
    "confirmation_expired": "This confirmation took too long. Ask for a new link.",
    "consent_denied": "Access was declined at the CRM. Nothing was connected.",
    "authorization_refused": "The CRM refused the authorization.",
    "issuer_mismatch": "The answer came from another authorization server than the one that was asked.",
    "code_rejected": "The CRM refused the authorization code. Ask for a new link.",
    "token_endpoint_failed": "The CRM did not complete the authorization. Try again in a few minutes.",
    "untrusted_host": "The address of the CRM is not one of the CRM's own hosts.",
}


class AuthorizationFailed(CrmError):
    """Root of the failures of connecting and disconnecting. `code` is a key of `AUTHORIZATION_FAILURES`.

    Args:
        code: Stable; for programs.
        detail: For the log; default: the public text. Never a token, a code or a state.
    """

    def __init__(self, code: str, detail: str | None = None, *, crm_code: str | None = None) -> None:
        public = AUTHORIZATION_FAILURES[code]
        super().__init__(f"{code}: {detail or public}", public=public, code=code, crm_code=crm_code)


class RequestRefused(AuthorizationFailed):
    """What was asked for is not there, or not allowed."""


class AttemptInvalid(AuthorizationFailed):
    """The ticket, state or confirmation is wrong, used, expired, or of another browser."""


class ConsentRefused(AuthorizationFailed):
    """The CRM sent the browser back with an error instead of a code (RFC 6749 section 4.1.2.1)."""


class ExchangeFailed(AuthorizationFailed):
    """The answer was not trusted, or the token endpoint did not turn the code into tokens."""

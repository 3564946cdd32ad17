"""What a person reads when connecting does not work: what happened, and what to do. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PageText:
    """An error page: HTTP status, heading, what happened, what to do about it."""

    status: int
    heading: str
    what: str
    advice: str


_NEW_LINK = "Go back to where you came from and ask for a new link."

#: Stable code -> page. Codes that are missing here get `OTHER`.
PAGE_TEXTS: Final[dict[str, PageText]] = {
    "ticket_invalid": PageText(
        404, "This link is not known", "The address is incomplete, or the link was deleted after it expired.", _NEW_LINK
    ),
    "ticket_used": PageText(
        410,
        "This link was used already",
        "Each link works once, in one browser. Somebody has continued with this one.",
        "If that was you, go on in the tab where you continued. Otherwise ask for a new link.",
    ),
    "ticket_expired": PageText(410, "This link has expired", "For safety a link works for 10 minutes.", _NEW_LINK),
    "form_expired": PageText(
        403,
        "This page is too old",
        "We could not tell that the click came from our own page in this browser.",
        "Open the link again and click once more. Cookies must be allowed for this site.",
    ),
    "wrong_browser": PageText(
        403,
        "This was started in another browser",
        "For safety a connection must be finished in the browser in which it was started. Nothing was connected.",
        "Go back to that browser, or ask for a new link and stay in this one. This site must be allowed cookies.",
    ),
    "state_invalid": PageText(
        400,
        "We do not know this answer",
        "The CRM sent you back with an answer that does not belong to any connection that we started.",
        _NEW_LINK,
    ),
    "state_used": PageText(
        410,
        "This answer was used already",
        "The connection that it belongs to was finished or stopped before. Reloading this page changes nothing.",
        "Look in Morket whether the CRM is connected. If it is not, ask for a new link.",
    ),
    "state_expired": PageText(
        410, "That took too long", "A connection must be finished within 10 minutes. Nothing was connected.", _NEW_LINK
    ),
    "consent_denied": PageText(
        200,
        "Access was not allowed",
        "You, or the CRM, answered that Morket may not use this account. Nothing was connected.",
        "If that was not what you wanted, ask for a new link and allow the access.",
    ),
    "authorization_refused": PageText(
        502,
        "The CRM refused the access",
        "It sent you back with an error instead of a grant. Nothing was connected.",
        "Look whether your user in the CRM may allow apps, then ask for a new link.",
    ),
    "confirmation_invalid": PageText(
        400,
        "This answer is not known",
        "It belongs to no connection that waits for one. Nothing has changed.",
        _NEW_LINK,
    ),
    "confirmation_used": PageText(
        410,
        "This was answered already",
        "The question whether to use the other account was answered before.",
        "Look in Morket which account is connected. To change it, ask for a new link.",
    ),
    "confirmation_expired": PageText(
        410, "That took too long", "The answer must come within 10 minutes. Nothing has changed.", _NEW_LINK
    ),
    "issuer_mismatch": PageText(
        400,
        "The answer came from somewhere else",
        "The answer does not name the sign-in server to which we had sent you. Nothing was connected.",
        "Ask for a new link. If it happens again, tell the person who runs this service.",
    ),
    "code_rejected": PageText(
        502,
        "The CRM did not accept the sign-in",
        "It refused the code that it had just given. Codes are good for a short time only.",
        _NEW_LINK,
    ),
    "token_endpoint_failed": PageText(
        502,
        "The CRM does not answer",
        "You allowed the access, but the CRM then gave no usable answer. Nothing was connected.",
        "Wait some minutes, then ask for a new link.",
    ),
    "untrusted_host": PageText(
        400,
        "This is not one of the CRM's own addresses",
        "For safety we only talk to addresses that belong to the CRM's vendor.",
        "Correct the address, then try again with the same link or a new one.",
    ),
    "integration_not_configured": PageText(
        503,
        "This CRM is not set up here",
        "The service has no client settings for this CRM, or the CRM does not accept them.",
        "Tell the person who runs this service.",
    ),
    "unknown_integration": PageText(
        404, "There is no such CRM", "The address names a CRM that we do not know.", _NEW_LINK
    ),
    "not_found": PageText(404, "There is nothing here", "The address is not known.", _NEW_LINK),
}

OTHER: Final = PageText(
    500,
    "Something went wrong on our side",
    "Nothing was connected.",
    "Try again with a new link. If it happens again, tell the person who runs this service the reference below.",
)

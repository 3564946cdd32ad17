"""The pure decisions about a callback: what its parameters say, and what a failed exchange means to the person."""

from collections.abc import Mapping
from typing import Final

from crm.authorization import issuer_is_expected
from crm.authorization_errors import AuthorizationFailed, ConsentRefused, ExchangeFailed, RequestRefused
from crm.errors import CommandRefused, ConfigurationFault, CrmError, ReauthRequired, UntrustedHost
from crm.text import scrub

# Salesforce's help prints the RFC's word with a hyphen in one place.
_DENIALS: Final = frozenset({"access_denied", "access-denied"})
_LONGEST_CODE: Final = 60
_LONGEST_DETAIL: Final = 200


def code_of(params: Mapping[str, str], asked: str, login_host: str | None) -> str:
    """The authorization code of a callback whose state was checked (RFC 6749 section 4.1.2, RFC 9207).

    `asked` is the origin of the authorization server that the browser was sent to.

    Raises:
        ExchangeFailed: `issuer_mismatch`; `code_rejected` where there is no code.
        ConsentRefused: `consent_denied`, `authorization_refused`.
    """
    issuer = params.get("iss")
    if issuer is not None and not issuer_is_expected(issuer, asked, login_host):
        raise ExchangeFailed("issuer_mismatch")
    error = params.get("error")
    if error in _DENIALS:
        raise ConsentRefused("consent_denied", crm_code=error)
    if error is not None:
        detail = scrub(params.get("error_description", ""), _LONGEST_DETAIL)
        word = scrub(error, _LONGEST_CODE)
        raise ConsentRefused("authorization_refused", f"{word}: {detail}", crm_code=word)
    code = params.get("code")
    if not code:
        raise ExchangeFailed("code_rejected", "the callback brought no code")
    return code


def exchange_failure(problem: CrmError) -> AuthorizationFailed:
    """What the person is told when an adapter's `exchange_code` raised `problem`."""
    detail = str(problem)
    match problem:
        case UntrustedHost():
            return ExchangeFailed("untrusted_host", detail)
        case ReauthRequired():
            return ExchangeFailed("code_rejected", detail, crm_code=problem.crm_code)
        case ConfigurationFault():
            return RequestRefused("integration_not_configured", detail, crm_code=problem.crm_code)
        case CommandRefused(code="unknown_integration"):
            return RequestRefused("unknown_integration", detail)
        case _:
            return ExchangeFailed("token_endpoint_failed", detail, crm_code=problem.crm_code)

"""Every code and status that HubSpot documents: which class of error it is, which public failure, which hint."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from crm.adapters.hubspot.calls import limits_in
from crm.adapters.hubspot.codes import STATUSES, TABLE, TOKEN_TABLE
from crm.adapters.hubspot.errors import error_of, reasons_of
from crm.adapters.hubspot.oauth import _token_error
from crm.adapters.outcome import translate
from crm.errors import (
    AccessTokenRejected,
    CallRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    GiveUp,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ReauthRequired,
)
from crm.http import Reply
from crm.model import AccountLimits

# HubSpot's code -> our public code, category, retryable.
RECORD_CODES = {
    "PROPERTY_DOESNT_EXIST": ("unknown_field", "mapping", False),
    "READ_ONLY_VALUE": ("read_only_field", "mapping", False),
    "INVALID_EMAIL": ("invalid_email", "bad_data", False),
    "INVALID_OPTION": ("invalid_option", "bad_data", False),
    "INVALID_INTEGER": ("invalid_value", "bad_data", False),
    "INVALID_LONG": ("invalid_value", "bad_data", False),
    "INVALID_NUMBER": ("invalid_value", "bad_data", False),
    "INVALID_DATE": ("invalid_value", "bad_data", False),
    "INVALID_BOOLEAN": ("invalid_value", "bad_data", False),
    "INVALID_PHONE_NUMBER": ("invalid_value", "bad_data", False),
    "VALUE_TOO_LONG": ("value_too_long", "bad_data", False),
    "PROPERTY_VALUE_TOO_LONG": ("value_too_long", "bad_data", False),
    "REQUIRED_FIELD": ("required_field_missing", "bad_data", False),
    "MISSING_REQUIRED_PROPERTY": ("required_field_missing", "bad_data", False),
    "VALIDATION_ERROR": ("invalid_value", "bad_data", False),
    "OBJECT_NOT_FOUND": ("record_gone", "not_found", False),
    "CONFLICT": ("duplicate_detected", "conflict", False),
    "OBJECT_ALREADY_EXISTS": ("duplicate_detected", "conflict", False),
    "CONTACT_EXISTS": ("duplicate_detected", "conflict", False),
    "DUPLICATE_UNIQUE_PROPERTY_VALUE": ("duplicate_detected", "conflict", False),
    "RATE_LIMITS": ("rate_limited", "limit", True),
    "RATE_LIMIT": ("rate_limited", "limit", True),
    "TEN_SECONDLY_ROLLING": ("rate_limited", "limit", True),
    "SECONDLY": ("rate_limited", "limit", True),
    "DAILY": ("quota_exhausted", "limit", True),
    "MISSING_SCOPES": ("permission_denied", "permission", False),
    "FORBIDDEN": ("permission_denied", "permission", False),
    "EXPIRED_AUTHENTICATION": ("reauth_required", "authorization", False),
    "INVALID_AUTHENTICATION": ("reauth_required", "authorization", False),
}
# Status -> class of error, may be split, may have arrived.
CALLS: dict[int, tuple[type[CrmError], bool, bool]] = {
    400: (CallRefused, True, False),
    401: (AccessTokenRejected, False, False),
    403: (PermissionDenied, False, False),
    404: (CallRefused, False, False),
    409: (CallRefused, True, False),
    413: (CallRefused, False, False),
    414: (CallRefused, False, False),
    415: (CallRefused, False, False),
    423: (CrmUnavailable, False, False),
    429: (RateLimited, False, False),
    477: (CrmUnavailable, False, False),
    **dict.fromkeys((500, 502, 503, 504, 521, 522, 523, 524, 525, 526), (CrmUnavailable, False, True)),
}
# HubSpot's `status`, RFC 6749's `error` -> class of error.
TOKENS: dict[str, tuple[str, type[CrmError]]] = {
    "BAD_REFRESH_TOKEN": ("invalid_grant", ReauthRequired),
    "BAD_AUTH_CODE": ("invalid_grant", ReauthRequired),
    "BAD_CODE_VERIFIER": ("invalid_grant", ReauthRequired),
    "BAD_HUB": ("access_denied", ReauthRequired),
    "BAD_CLIENT_ID": ("invalid_client", ConfigurationFault),
    "BAD_CLIENT_SECRET": ("invalid_client", ConfigurationFault),
    "BAD_REDIRECT_URI": ("invalid_grant", ConfigurationFault),
    "BAD_SCOPES": ("invalid_scope", ConfigurationFault),
    "BAD_GRANT_TYPE": ("unsupported_grant_type", ConfigurationFault),
}
# RFC 6749's `error` where HubSpot's `status` is new or missing.
RFC_ERRORS: dict[str, type[CrmError]] = {
    "invalid_grant": ReauthRequired,
    "access_denied": ReauthRequired,
    "invalid_token": ReauthRequired,
    "invalid_client": ConfigurationFault,
    "unauthorized_client": ConfigurationFault,
    "redirect_uri_mismatch": ConfigurationFault,
    "invalid_scope": ConfigurationFault,
    "unsupported_grant_type": ConfigurationFault,
    "invalid_request": ConfigurationFault,
    "something_new": GiveUp,
}


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    content = b"<html>no</html>" if body is None else json.dumps(body).encode()
    return Reply(
        status, CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()}), content
    )


@pytest.mark.parametrize(("crm_code", "meaning"), RECORD_CODES.items())
def test_every_code_has_its_public_failure(crm_code: str, meaning: tuple[str, str, bool]) -> None:
    """A code of HubSpot's is a stable public failure that keeps HubSpot's code and text and says what to do."""
    # Given the code where a batch reply carries it / When it is read
    (reason,) = reasons_of({"category": crm_code, "message": "HubSpot's words"})
    failure = translate(TABLE, reason.code, reason.message, "phone", {"phone": "mobile_phone"})

    # Then
    assert (failure.code, failure.category, failure.retryable) == meaning
    assert failure.hint
    assert (failure.crm_code, failure.message, failure.field) == (crm_code, "HubSpot's words", "mobile_phone")


def test_no_code_is_without_a_test() -> None:
    """The tables hold exactly what is tested here."""
    # Given the tables / When they are compared / Then nothing is missing on either side
    assert set(TABLE) == set(RECORD_CODES)
    assert set(STATUSES) == set(CALLS)
    assert set(TOKEN_TABLE) == {*TOKENS, *RFC_ERRORS} - {"something_new"}
    assert all(known.hint for table in (TABLE, STATUSES, TOKEN_TABLE) for known in table.values())


def test_an_unknown_code_keeps_hubspots_text() -> None:
    """Rules of an administrator may answer with codes that nobody documents."""
    # Given such a code inside a validation text
    text = 'Property values were not valid: [{"isValid":false,"message":"fill it","error":"BRAND_NEW","name":"city"}]'

    # When it is read
    (reason,) = reasons_of({"category": "VALIDATION_ERROR", "message": text})
    failure = translate(TABLE, reason.code, reason.message, reason.crm_field, {"city": "city"})

    # Then
    assert (failure.code, failure.crm_code, failure.message, failure.crm_field) == (
        "crm_refused",
        "BRAND_NEW",
        "fill it",
        "city",
    )


@pytest.mark.parametrize("body", [None, {}, {"status": "error", "message": "There was a problem with the request."}])
@pytest.mark.parametrize(("status", "expected"), CALLS.items())
def test_every_status_has_its_class(status: int, expected: tuple[type[CrmError], bool, bool], body: Any) -> None:
    """The status decides, even where the body is a page, empty or without any code."""
    # Given a reply / When it is read
    error = error_of(reply(status, body), what="POST /x")

    # Then
    assert type(error) is expected[0]
    assert getattr(error, "may_split", False) is expected[1]
    assert getattr(error, "may_have_arrived", False) is expected[2]


@pytest.mark.parametrize("shape", [{"errorType": "RATE_LIMIT"}, {"category": "RATE_LIMITS"}, {}])
@pytest.mark.parametrize(
    ("policy", "error", "wait_s"),
    [
        ("TEN_SECONDLY_ROLLING", RateLimited, 10.0),
        ("SECONDLY", RateLimited, 1.0),
        ("DAILY", QuotaExhausted, 3600.0),
        ("BRAND_NEW", RateLimited, 10.0),
        (None, RateLimited, 10.0),
    ],
)
def test_a_429_is_read_in_every_shape(
    shape: Mapping[str, str], policy: str | None, error: type[CrmError], wait_s: float
) -> None:
    """With or without `policyName`, `errorType` and `category`; `Retry-After` is believed where it comes."""
    # Given the body
    body = {"status": "error", "message": "limit", **shape, **({"policyName": policy} if policy else {})}

    # When it is read without and with a header
    plain, told = error_of(reply(429, body), what="x"), error_of(reply(429, body, Retry_After="7"), what="x")

    # Then
    assert type(plain) is type(told) is error
    assert (getattr(plain, "retry_after_s", None), getattr(told, "retry_after_s", None)) == (wait_s, 7.0)
    assert plain.crm_code == (policy or shape.get("category") or shape.get("errorType"))


@pytest.mark.parametrize(
    ("status", "header", "wait_s"),
    [(423, "", 2.0), (477, "", 3600.0), (477, "900", 900.0), (477, "9999999", 86_400.0), (503, "", 2.0)],
)
def test_waits_are_hubspots_or_ours(status: int, header: str, wait_s: float) -> None:
    """`Retry-After` wins, up to a day; without it, what the documents or the official clients say."""
    # Given a reply / When it is read / Then
    error = error_of(reply(status, {}, Retry_After=header), what="x")
    assert isinstance(error, CrmUnavailable)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize("place", ["context", "errors"])
def test_missing_scopes_are_named(place: str) -> None:
    """A 403 names the scopes in its own context or in that of its errors; both are told."""
    # Given both shapes
    context = {"requiredGranularScopes": ["crm.objects.contacts.write"]}
    more = {"context": context} if place == "context" else {"errors": [{"message": "one of", "context": context}]}
    body = {"status": "error", "category": "MISSING_SCOPES", "message": "not granted", "correlationId": "c-1", **more}

    # When it is read
    error = error_of(reply(403, body), what="x")

    # Then
    assert error.public == "HubSpot: not granted (crm.objects.contacts.write)"
    assert (error.crm_code, error.request_id) == ("MISSING_SCOPES", "c-1")


@pytest.mark.parametrize(("status", "expected"), TOKENS.items())
def test_every_status_of_the_token_endpoint_has_its_class(status: str, expected: tuple[str, type[CrmError]]) -> None:
    """HubSpot's word decides: reconnect, or an operator's setting; the text says what to do."""
    # Given the endpoint's body / When it is read
    body = {"error": expected[0], "error_description": "secret words", "status": status, "message": "secret words"}
    error = _token_error(reply(400, body))

    # Then
    assert type(error) is expected[1]
    assert status in str(error.crm_code)
    assert TOKEN_TABLE[status].hint in str(error)
    assert "secret" not in f"{error} {error.public}"


@pytest.mark.parametrize(("word", "error"), RFC_ERRORS.items())
@pytest.mark.parametrize("status", [None, "BRAND_NEW"])
def test_the_rfcs_words_decide_where_hubspots_are_new(word: str, error: type[CrmError], status: str | None) -> None:
    """RFC 6749 section 5.2 holds where `status` is missing or unknown; any 4xx is alike."""
    # Given the body / When it is read with two statuses / Then
    body = {"error": word, **({"status": status} if status else {})}
    assert {type(_token_error(reply(code, body))) for code in (400, 401)} == {error}


@pytest.mark.parametrize("status", [423, 477, 500, 502, 504])
def test_a_token_endpoint_in_trouble_is_no_verdict(status: int) -> None:
    """Locked, moving, broken: try again; a page instead of JSON is no verdict on the grant."""
    # Given the reply / When it is read / Then
    error = _token_error(reply(status, None, Retry_After="5"))
    assert isinstance(error, CrmUnavailable)
    assert (error.retry_after_s, error.may_have_arrived) == (5.0, status >= 500)
    assert type(_token_error(reply(400, None))) is GiveUp


def test_limits_are_read_from_headers() -> None:
    """The window of ten seconds, and the day where an app has one; a reply without them (a search) says nothing."""
    # Given three replies' headers
    window = {
        "x-hubspot-ratelimit-max": "110",
        "X-HubSpot-RateLimit-Remaining": "98",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Secondly": "11",
    }
    day = {"X-HubSpot-RateLimit-Daily": "250000", "X-HubSpot-RateLimit-Daily-Remaining": "249000"}

    # When they are read / Then
    assert limits_in(CaseInsensitiveDict(window)) == AccountLimits(window_left=98, window_max=110, window_s=10.0)
    both = AccountLimits(1000, 250_000, 98, 110, 10.0)
    assert limits_in(CaseInsensitiveDict({**window, **day})) == both
    assert limits_in(CaseInsensitiveDict({"X-HubSpot-RateLimit-Max": "many", "Content-Type": "x"})) is None

"""Every code that Salesforce's pages name, as a reader of results meets it: category, public code, retryable, hint."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from crm.adapters.salesforce.calls import account_limits
from crm.adapters.salesforce.errors import (
    RECORD_ERRORS,
    SalesforceMessage,
    is_gone,
    is_stale_field,
    messages_in,
    raise_for_status,
    record_failures,
)
from crm.errors import (
    AccessTokenRejected,
    CallRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
)
from crm.http import Reply
from crm.model import AccountLimits

LOCK = "UNABLE_TO_LOCK_ROW, unable to obtain exclusive access to this record"
#: statusCode -> public code, category, retryable; from the SOAP API's StatusCode page and the REST error pages.
RECORD_CODES = {
    "REQUIRED_FIELD_MISSING": ("required_field_missing", "bad_data", False),
    "STRING_TOO_LONG": ("value_too_long", "bad_data", False),
    "INVALID_EMAIL_ADDRESS": ("invalid_email", "bad_data", False),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": ("invalid_option", "bad_data", False),
    "FIELD_INTEGRITY_EXCEPTION": ("invalid_value", "bad_data", False),
    "NUMBER_OUTSIDE_VALID_RANGE": ("invalid_value", "bad_data", False),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": ("invalid_value", "bad_data", False),
    "JSON_PARSER_ERROR": ("invalid_value", "bad_data", False),
    "MISSING_ARGUMENT": ("invalid_value", "bad_data", False),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": ("validation_rule", "bad_data", False),
    "FIELD_FILTER_VALIDATION_EXCEPTION": ("validation_rule", "bad_data", False),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": ("validation_rule", "bad_data", False),
    "INVALID_FIELD_FOR_INSERT_UPDATE": ("read_only_field", "mapping", False),
    "INVALID_FIELD": ("unknown_field", "mapping", False),
    "INVALID_TYPE": ("unknown_object", "mapping", False),
    "DUPLICATE_VALUE": ("duplicate_detected", "conflict", False),
    "DUPLICATES_DETECTED": ("duplicate_detected", "conflict", False),
    "DUPLICATE_DML_EXCEPTION": ("duplicate_detected", "conflict", False),
    "DUPLICATE_EXTERNAL_ID": ("several_matches", "conflict", False),
    "MALFORMED_ID": ("record_gone", "not_found", False),
    "INVALID_CROSS_REFERENCE_KEY": ("record_gone", "not_found", False),
    "ENTITY_IS_DELETED": ("record_gone", "not_found", False),
    "NOT_FOUND": ("record_gone", "not_found", False),
    "CANNOT_UPDATE_CONVERTED_LEAD": ("record_converted", "conflict", False),
    "INSUFFICIENT_ACCESS_OR_READONLY": ("permission_denied", "permission", False),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": ("permission_denied", "permission", False),
    "INSUFFICIENT_ACCESS": ("permission_denied", "permission", False),
    "DELETE_FAILED": ("delete_refused", "conflict", False),
    "ENTITY_IS_LOCKED": ("approval_pending", "conflict", False),
    "UNABLE_TO_LOCK_ROW": ("record_locked", "unavailable", True),
    "STORAGE_LIMIT_EXCEEDED": ("storage_full", "limit", False),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": ("rolled_back", "unavailable", True),
    "PROCESSING_HALTED": ("rolled_back", "unavailable", True),
    "UNKNOWN_EXCEPTION": ("crm_unavailable", "unavailable", True),
    "SERVER_UNAVAILABLE": ("crm_unavailable", "unavailable", True),
    "QUERY_TIMEOUT": ("crm_unavailable", "unavailable", True),
    "REQUEST_RUNNING_TOO_LONG": ("crm_unavailable", "unavailable", True),
    "INVALID_ID_FIELD": ("invalid_value", "bad_data", False),
    "INVALID_FIELD: Foreign key external ID": ("related_record_not_found", "not_found", False),
}


def reply(status: int, content: Any = None, **headers: str) -> Reply:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status, CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()}), body)


def raised(status: int, content: Any = None, *, writes: bool = False, **headers: str) -> CrmError:
    with pytest.raises(CrmError) as error:
        raise_for_status(reply(status, content, **headers), writes=writes)
    return error.value


@pytest.mark.parametrize("crm_code", sorted(RECORD_CODES))
def test_a_record_error_says_whose_turn_it_is(crm_code: str) -> None:
    """Code, category and retryable as promised, the vendor's words and code kept, and a hint what to do."""
    # Given an entry of a Collections reply
    entry = {"statusCode": crm_code, "message": "Salesforce's own words", "fields": []}

    # When
    (failure,) = record_failures(messages_in([entry]), {})

    # Then
    assert (failure.code, failure.category.value, failure.retryable) == RECORD_CODES[crm_code]
    assert (failure.crm_code, failure.message) == (crm_code, "Salesforce's own words")
    assert failure.hint


def test_no_row_of_the_table_is_without_a_test() -> None:
    """The table and the list above name the same codes."""
    # When / Then
    assert set(RECORD_ERRORS) == set(RECORD_CODES)


@pytest.mark.parametrize(
    ("message", "code", "retryable"),
    [
        (SalesforceMessage("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"LeadTrigger: {LOCK}"), "record_locked", True),
        (SalesforceMessage("INVALID_CROSS_REFERENCE_KEY", "bad id", ("AccountId",)), "invalid_value", False),
        (SalesforceMessage("ENTITY_IS_DELETED", "entity is deleted", ("AccountId",)), "invalid_value", False),
        (SalesforceMessage("MALFORMED_ID", "bad id", ("Id",)), "record_gone", False),
        (
            SalesforceMessage("INVALID_FIELD", "Foreign key external ID: 7 not found for field X in entity Account"),
            "related_record_not_found",
            False,
        ),
        (SalesforceMessage("A_CODE_OF_TOMORROW", "new words"), "crm_refused", False),
    ],
)
def test_a_code_that_says_too_little_is_read_with_its_text(
    message: SalesforceMessage, code: str, *, retryable: bool
) -> None:
    """Some codes mean several things; an unknown one keeps Salesforce's text and code."""
    # When
    (failure,) = record_failures([message], {})

    # Then
    assert (failure.code, failure.retryable, failure.crm_code) == (code, retryable, message.code)
    assert failure.message == message.text
    assert failure.hint


def test_a_missing_relation_is_no_news_about_the_fields_or_the_record() -> None:
    """It neither drops the described fields nor a link."""
    # Given
    message = SalesforceMessage("INVALID_FIELD", "Foreign key external ID: 7 not found for field X in entity Account")

    # When / Then
    assert not is_stale_field(message)
    assert not is_gone(replace_code(message, "INVALID_CROSS_REFERENCE_KEY"))
    assert is_stale_field(SalesforceMessage("INVALID_FIELD", "No such column 'X' on sobject of type Lead"))


def replace_code(message: SalesforceMessage, code: str) -> SalesforceMessage:
    return SalesforceMessage(code, message.text, message.fields)


def test_every_error_of_a_record_is_translated_and_none_is_not_nothing() -> None:
    """Several errors are several failures; a refusal without a reason still fails the record."""
    # Given
    entries = [
        {"statusCode": "STRING_TOO_LONG", "message": "too long", "fields": ["Title"]},
        {"statusCode": "REQUIRED_FIELD_MISSING", "message": "missing", "fields": ["LastName"]},
    ]

    # When
    failures = record_failures(messages_in(entries), {"Title": "job_title", "LastName": "last_name"})

    # Then
    assert [(one.field, one.crm_field) for one in failures] == [("job_title", "Title"), ("last_name", "LastName")]
    assert [one.code for one in record_failures([], {})] == ["crm_refused"]


TOTAL, CONCURRENT = "TotalRequests Limit exceeded.", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (300, "", "", CallRefused),
        (400, "INVALID_FIELD", "No such column", CallRefused),
        (400, "MALFORMED_QUERY", "unexpected token", CallRefused),
        (400, "JSON_PARSER_ERROR", "Unexpected character", CallRefused),
        (400, "MALFORMED_ID", "malformed id", CallRefused),
        (400, "REQUIRED_FIELD_MISSING", "missing", CallRefused),
        (400, "INVALID_TYPE", "sObject type 'X' is not supported.", CallRefused),
        (400, "INVALID_QUERY_LOCATOR", "invalid query locator", CallRefused),
        (400, "EXCEEDED_ID_LIMIT", "record limit reached", CallRefused),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", CrmUnavailable),
        (400, "UNABLE_TO_LOCK_ROW", LOCK, CrmUnavailable),
        (401, "INVALID_SESSION_ID", "Session expired or invalid", AccessTokenRejected),
        (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", AccessTokenRejected),
        (403, "REQUEST_LIMIT_EXCEEDED", TOTAL, QuotaExhausted),
        (403, "REQUEST_LIMIT_EXCEEDED", CONCURRENT, RateLimited),
        (403, "API_DISABLED_FOR_ORG", "API is disabled for this User", PermissionDenied),
        (403, "API_CURRENTLY_DISABLED", "API is not enabled", PermissionDenied),
        (403, "INSUFFICIENT_ACCESS", "insufficient access rights", PermissionDenied),
        (404, "NOT_FOUND", "The requested resource does not exist", CallRefused),
        (405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed", CallRefused),
        (409, "CONFLICT", "conflict", CallRefused),
        (410, "UNSUPPORTED_API_VERSION", "The requested API version is retired", ConfigurationFault),
        (412, "PRECONDITION_FAILED", "", CallRefused),
        (414, "URI_TOO_LONG", "The URI is too long", CallRefused),
        (415, "UNSUPPORTED_MEDIA_TYPE", "", CallRefused),
        (420, "", "", RateLimited),
        (428, "PRECONDITION_REQUIRED", "", CallRefused),
        (429, "", "", RateLimited),
        (431, "", "", CallRefused),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", CrmUnavailable),
        (502, "", "", CrmUnavailable),
        (503, "SERVER_UNAVAILABLE", "Server too busy", CrmUnavailable),
    ],
)
def test_a_whole_call_is_judged_by_status_and_code(
    status: int, code: str, message: str, expected: type[CrmError]
) -> None:
    """Each status and errorCode ends in the class that says what the caller must do; the code is kept."""
    # Given the array that Salesforce sends, where it says anything
    content = [{"errorCode": code, "message": message}] if code else None

    # When
    error = raised(status, content)

    # Then
    assert type(error) is expected
    assert error.crm_code == (code or None)
    if isinstance(error, CallRefused):
        assert error.may_split == (status in (400, 409))


@pytest.mark.parametrize(("status", "writes", "arrived"), [(500, True, True), (503, False, False), (400, True, False)])
def test_only_a_broken_answer_to_a_write_leaves_doubt(status: int, *, writes: bool, arrived: bool) -> None:
    """After a 5xx nobody knows whether the write happened; a refusal for a lock wrote nothing."""
    # When
    error = raised(status, [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": LOCK}], writes=writes)

    # Then
    assert isinstance(error, CrmUnavailable)
    assert error.may_have_arrived == arrived


def test_retry_after_is_honoured_where_it_comes() -> None:
    """No page promises the header; it counts all the same."""
    # When / Then
    for status, content in ((503, None), (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": CONCURRENT}])):
        assert getattr(raised(status, content, Retry_After="7"), "retry_after_s", None) == 7


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"errorCode": "NOT_FOUND", "message": "a bare object"}, "Salesforce answered 404 NOT_FOUND: a bare object"),
        (b"<html>gateway</html>", "Salesforce answered 404"),
        (b"", "Salesforce answered 404"),
        (b"plain words", "Salesforce answered 404: plain words"),
        ([{"message": None}], "Salesforce answered 404"),
        ("text", 'Salesforce answered 404: "text"'),
    ],
)
def test_an_error_of_any_form_is_read(body: Any, text: str) -> None:
    """Salesforce's edge answers with objects, HTML or nothing; pages of a gateway are not quoted."""
    # When / Then
    assert str(raised(404, body)) == text


@given(st.binary(max_size=200), st.integers(300, 599))
def test_no_reply_makes_the_reading_fail(body: bytes, status: int) -> None:
    """Whatever the bytes are: one of our own errors, with a text that can be stored."""
    # When
    error = raised(status, body)

    # Then
    assert "\x00" not in error.public
    error.public.encode()


@pytest.mark.parametrize(
    ("header", "limits"),
    [
        ("api-usage=44/15000", AccountLimits(daily_used=44, daily_max=15000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)", AccountLimits(25, 5000)),
        ("per-app-api-usage=17/250(appName=x); api-usage=25/5000", AccountLimits(25, 5000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("api-usage=many/more", None),
        ("", None),
    ],
)
def test_the_orgs_usage_is_read_and_the_apps_is_not(header: str, limits: AccountLimits | None) -> None:
    """`Sforce-Limit-Info` names the org's rolling day, sometimes beside an app's own share."""
    # When / Then
    assert account_limits(reply(200, [], Sforce_Limit_Info=header)) == limits

"""HubSpot's codes and statuses -> what they mean here: three tables, for records, for whole calls and for tokens.

Sources: developers.hubspot.com/docs/api-reference/error-handling,
developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines,
developers.hubspot.com/changelog/new-oauth-v3-api-endpoints-and-standardized-error-responses.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from crm.adapters.outcome import VendorError
from schemas.failure import FailureCategory

_BAD, _MAP, _CONFLICT = FailureCategory.BAD_DATA, FailureCategory.MAPPING, FailureCategory.CONFLICT
_AUTH, _SETTING = FailureCategory.AUTHORIZATION, FailureCategory.CONFIGURATION
_LIMIT, _AWAY = FailureCategory.LIMIT, FailureCategory.UNAVAILABLE
_NOT_FOUND, _PERMISSION = FailureCategory.NOT_FOUND, FailureCategory.PERMISSION

_WHOLE_NUMBER = VendorError("invalid_value", _BAD, hint="send a whole number")
_TOO_LONG = VendorError("value_too_long", _BAD, hint="shorten the value")
_REQUIRED = VendorError("required_field_missing", _BAD, hint="send a value for it")
_DUPLICATE = VendorError("duplicate_detected", _CONFLICT, hint="merge the two records in HubSpot")
_RATE = VendorError("rate_limited", _LIMIT, retryable=True, hint="send it again later")
_TOKEN = VendorError("reauth_required", _AUTH, hint="the token is refreshed once; refused again, reconnect HubSpot")

#: HubSpot's `error`, `code`, `subCategory`, `category`, `errorType` or `policyName` -> the public failure.
#: https://developers.hubspot.com/docs/api-reference/error-handling
TABLE: Final[Mapping[str, VendorError]] = {
    "PROPERTY_DOESNT_EXIST": VendorError("unknown_field", _MAP, hint="map to a property that exists"),
    "READ_ONLY_VALUE": VendorError("read_only_field", _MAP, hint="map to a property that can be set"),
    "INVALID_EMAIL": VendorError("invalid_email", _BAD, hint="correct the e-mail address"),
    "INVALID_OPTION": VendorError("invalid_option", _BAD, hint="use one of the property's options"),
    "INVALID_INTEGER": _WHOLE_NUMBER,
    "INVALID_LONG": _WHOLE_NUMBER,
    "INVALID_NUMBER": VendorError("invalid_value", _BAD, hint="send a number"),
    "INVALID_DATE": VendorError("invalid_value", _BAD, hint="send a date as YYYY-MM-DD"),
    "INVALID_BOOLEAN": VendorError("invalid_value", _BAD, hint="send true or false"),
    "INVALID_PHONE_NUMBER": VendorError("invalid_value", _BAD, hint="send it with its country code"),
    "VALUE_TOO_LONG": _TOO_LONG,
    "PROPERTY_VALUE_TOO_LONG": _TOO_LONG,
    "REQUIRED_FIELD": _REQUIRED,
    "MISSING_REQUIRED_PROPERTY": _REQUIRED,
    "VALIDATION_ERROR": VendorError("invalid_value", _BAD, hint="correct the value"),
    "OBJECT_NOT_FOUND": VendorError("record_gone", _NOT_FOUND, hint="the record was deleted or merged in HubSpot"),
    "CONFLICT": _DUPLICATE,
    "OBJECT_ALREADY_EXISTS": _DUPLICATE,
    "CONTACT_EXISTS": _DUPLICATE,
    "DUPLICATE_UNIQUE_PROPERTY_VALUE": _DUPLICATE,
    "RATE_LIMITS": _RATE,
    "RATE_LIMIT": _RATE,
    "TEN_SECONDLY_ROLLING": _RATE,
    "SECONDLY": _RATE,
    "DAILY": VendorError("quota_exhausted", _LIMIT, retryable=True, hint="send it again when the quota returns"),
    "MISSING_SCOPES": VendorError("permission_denied", _PERMISSION, hint="reconnect with the scopes it names"),
    "FORBIDDEN": VendorError("permission_denied", _PERMISSION, hint="give the connected user the rights"),
    "EXPIRED_AUTHENTICATION": _TOKEN,
    "INVALID_AUTHENTICATION": _TOKEN,
}

#: Codes after which the cached property metadata may be out of date.
STALE_METADATA: Final = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION", "REQUIRED_FIELD"})

_REFUSED = VendorError("crm_refused", _BAD, hint="HubSpot's own words are in the message")
_EDGE = VendorError("crm_unavailable", _AWAY, retryable=True, hint="HubSpot or its network is in trouble; send later")

#: HTTP status -> the meaning of a refused call, where its body says nothing better.
#: https://developers.hubspot.com/docs/api-reference/error-handling
STATUSES: Final[Mapping[int, VendorError]] = {
    400: _REFUSED,
    401: _TOKEN,
    403: VendorError("permission_denied", _PERMISSION, hint="the grant or the connected user lacks rights"),
    404: _REFUSED,
    409: _REFUSED,
    413: _REFUSED,
    414: _REFUSED,
    415: _REFUSED,
    423: VendorError("crm_unavailable", _AWAY, retryable=True, hint="the records are being synchronised; wait 2 s"),
    429: _RATE,
    477: VendorError("crm_unavailable", _AWAY, retryable=True, hint="the account moves to another data centre; wait"),
    500: _EDGE,
    502: _EDGE,
    503: _EDGE,
    504: _EDGE,
    521: _EDGE,
    522: _EDGE,
    523: _EDGE,
    524: _EDGE,
    525: _EDGE,
    526: _EDGE,
}

_RECONNECT = VendorError("reauth_required", _AUTH, hint="reconnect HubSpot")
_CONNECT_AGAIN = VendorError("reauth_required", _AUTH, hint="start connecting again")
_CLIENT = VendorError("integration_not_configured", _SETTING, hint="correct HUBSPOT_CLIENT_ID or HUBSPOT_CLIENT_SECRET")
_REDIRECT = VendorError("integration_not_configured", _SETTING, hint="register the redirect URI with the HubSpot app")
_SCOPES = VendorError("integration_not_configured", _SETTING, hint="give the HubSpot app the scopes that are asked for")
_FLOW = VendorError("integration_not_configured", _SETTING, hint="the HubSpot app does not take this request")

#: The token endpoint's `status` (HubSpot's word) or `error` (RFC 6749 section 5.2) -> whose turn it is.
#: https://developers.hubspot.com/changelog/new-oauth-v3-api-endpoints-and-standardized-error-responses
TOKEN_TABLE: Final[Mapping[str, VendorError]] = {
    "BAD_REFRESH_TOKEN": _RECONNECT,
    "BAD_HUB": _RECONNECT,
    "BAD_AUTH_CODE": _CONNECT_AGAIN,
    "BAD_CODE_VERIFIER": _CONNECT_AGAIN,
    "BAD_CLIENT_ID": _CLIENT,
    "BAD_CLIENT_SECRET": _CLIENT,
    "BAD_REDIRECT_URI": _REDIRECT,
    "BAD_SCOPES": _SCOPES,
    "BAD_GRANT_TYPE": _FLOW,
    "invalid_grant": _RECONNECT,
    "access_denied": _RECONNECT,
    "invalid_token": _RECONNECT,
    "invalid_client": _CLIENT,
    "unauthorized_client": _CLIENT,
    "redirect_uri_mismatch": _REDIRECT,
    "invalid_scope": _SCOPES,
    "unsupported_grant_type": _FLOW,
    "invalid_request": _FLOW,
}


def status_meaning(status: int) -> VendorError:
    """The meaning of an HTTP status that is not 2xx; unlisted ones by their class."""
    return STATUSES.get(status) or (_EDGE if status >= 500 else _REFUSED)  # noqa: PLR2004


def token_meaning(words: Iterable[str]) -> VendorError | None:
    """The first word that the table knows; HubSpot's `status` says more than `error`, so it comes first."""
    return next((TOKEN_TABLE[word] for word in words if word in TOKEN_TABLE), None)

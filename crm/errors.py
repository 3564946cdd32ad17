"""The one error tree, grouped by what the caller must do.

    CrmError
    ├── TryAgain                 wait, then send the same again
    │   ├── RateLimited          the CRM's short-term limit; `retry_after_s` where it told one
    │   ├── QuotaExhausted       the CRM's daily quota; waiting takes hours
    │   └── CrmUnavailable       no answer, 5xx, locked; `may_have_arrived` when the request had left
    ├── Reauthorize              a person must act
    │   ├── AccessTokenRejected  refresh once, then try once more
    │   ├── ReauthRequired       the grant is dead: reconnect
    │   └── NotConnected         there is no connection
    ├── GiveUp                   sending the same again cannot help
    │   ├── CallRefused          the CRM refused the call as a whole (400/409: may be split)
    │   ├── UntrustedHost        a URL that is not the CRM's own: never called
    │   ├── PermissionDenied     the connected user may not
    │   ├── CommandRefused       this service cannot run the command (code of schemas.failure)
    │   └── ConfigurationFault   an operator must change a setting
    ├── LeaseLost                this worker may not send for the partition any more: drop the work, say nothing
    └── VaultError               stored tokens cannot be decrypted

Every error has two texts: `public` is safe to publish, `str(error)` is for the log. Neither ever holds a token, a
secret or a body of a token call.
"""


class CrmError(Exception):
    """Root of all expected failures of this service.

    Args:
        detail: For the log; never a secret.
        public: For results, events and pages; defaults to `detail`.
        code: Stable public code, of `schemas.failure.COMMAND_FAILURES`.
        crm_code: The CRM's own code, untouched.
        request_id: The CRM's id of the exchange (HubSpot `correlationId`), for its support.
    """

    default_code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        public: str | None = None,
        code: str | None = None,
        crm_code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.public = public if public is not None else detail
        self.code = code or self.default_code
        self.crm_code = crm_code
        self.request_id = request_id


class TryAgain(CrmError):
    """Wait, then send the same again.

    Attributes:
        retry_after_s: Seconds to wait at least, where the CRM told them.
    """

    default_code = "crm_unavailable"

    def __init__(self, detail: str, *, retry_after_s: float | None = None, **rest: str | None) -> None:
        super().__init__(detail, **rest)
        self.retry_after_s = retry_after_s


class RateLimited(TryAgain):
    """The CRM's short-term limit (HubSpot 429, Salesforce concurrent requests)."""

    default_code = "rate_limited"


class QuotaExhausted(TryAgain):
    """The CRM account's daily quota is used up."""

    default_code = "quota_exhausted"


class CrmUnavailable(TryAgain):
    """No usable answer: connection failed, timeout, 5xx, locked.

    Attributes:
        may_have_arrived: True when the request had left, so that a create may have happened.
    """

    def __init__(
        self, detail: str, *, may_have_arrived: bool = False, retry_after_s: float | None = None, **rest: str | None
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s, **rest)
        self.may_have_arrived = may_have_arrived


class Reauthorize(CrmError):
    """A person must act before anything else can work."""

    default_code = "reauth_required"


class AccessTokenRejected(Reauthorize):
    """The CRM refused the access token: refresh once, then try once more."""


class ReauthRequired(Reauthorize):
    """The grant is dead (`invalid_grant`, RFC 6749 section 5.2): a person must reconnect."""


class NotConnected(Reauthorize):
    """The workspace has no live connection to this CRM."""

    default_code = "not_connected"


class GiveUp(CrmError):
    """Sending the same again cannot help."""

    default_code = "crm_refused"


class CallRefused(GiveUp):
    """The CRM refused the call as a whole; with `may_split` a smaller call can succeed.

    Attributes:
        http_status: The CRM's status.
        may_split: True on 400 and 409 only.
        field: The CRM field that the CRM named, if any.
    """

    def __init__(
        self,
        detail: str,
        *,
        http_status: int = 400,
        may_split: bool = False,
        field: str | None = None,
        **rest: str | None,
    ) -> None:
        super().__init__(detail, **rest)
        self.http_status = http_status
        self.may_split = may_split
        self.field = field


class UntrustedHost(GiveUp):
    """A URL that came from a CRM, or from a person, is not on the CRM's own hosts: it was not called."""


class PermissionDenied(GiveUp):
    """The connected user or the granted scope does not allow it."""

    default_code = "permission_denied"


class CommandRefused(GiveUp):
    """This service cannot run the command; `code` says why (see `schemas.failure`)."""

    default_code = "invalid_command"


class ConfigurationFault(GiveUp):
    """An operator must change a setting (wrong client secret, redirect URI not registered)."""

    default_code = "integration_not_configured"


class LeaseLost(CrmError):
    """This worker may not send for the command's partition any more; the next owner runs the command."""


class VaultError(CrmError):
    """Stored tokens cannot be decrypted: wrong key, wrong row or damaged bytes."""

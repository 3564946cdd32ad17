"""The two cookies of connecting: the secret of one authorization, and the one that guards our forms.

`__Host-` cookies (RFC 6265bis section 4.1.3.2) cannot be set by other hosts nor over plain HTTP. Browsers refuse them
on http://localhost, so there, and only there, the names go without the prefix and without `Secure`.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

import falcon

_FORM_COOKIE = "crm_connect_form"
_STATE_COOKIE = "crm_connect_"
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_NONCE_CHARS = 43  # of 256 bits as URL-safe base64


class Cookies:
    """Reads and sets the cookies of the pages.

    Args:
        secure: True when browsers reach us over https.
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self._secure else name

    def _set(self, resp: falcon.Response, name: str, value: str, *, max_age_s: int, same_site: str) -> None:
        resp.set_cookie(
            self._name(name),
            value,
            max_age=max_age_s,
            path="/",
            secure=self._secure,
            http_only=True,
            same_site=same_site,
        )

    def keep_browser_secret(self, resp: falcon.Response, key: str, secret: str, expires_at: datetime) -> None:
        """Tie an authorization to this browser until it expires; each has a cookie of its own, named by `key`."""
        left_s = max(1, int((expires_at - datetime.now(UTC)).total_seconds()))
        # Lax, since the browser comes back from the CRM's site by a top-level GET.
        self._set(resp, _STATE_COOKIE + key, secret, max_age_s=left_s, same_site="Lax")

    def browser_secret(self, req: falcon.Request, key: str) -> str | None:
        """The secret that this browser got under `key`; None in any other browser."""
        return self._value(req, _STATE_COOKIE + key)

    def forget_browser_secret(self, resp: falcon.Response, key: str) -> None:
        """Delete the cookie of a finished authorization."""
        # Not Falcon's unset_cookie: without `Secure` a browser refuses whatever is said about a `__Host-` cookie.
        resp.set_cookie(
            self._name(_STATE_COOKIE + key),
            "",
            expires=_LONG_AGO,
            path="/",
            secure=self._secure,
            http_only=True,
            same_site="Lax",
        )

    def form_token(self, req: falcon.Request, resp: falcon.Response, purpose: str) -> str:
        """The hidden value of a form for `purpose`; the browser keeps the key that it was made with."""
        nonce = self._value(req, _FORM_COOKIE) or ""
        if len(nonce) != _NONCE_CHARS:
            nonce = secrets.token_urlsafe(32)
        self._set(resp, _FORM_COOKIE, nonce, max_age_s=3600, same_site="Strict")
        return _sign(nonce, purpose)

    def is_own_form(self, req: falcon.Request, purpose: str, token: str) -> bool:
        """Whether a POST comes from a form that we gave to this browser for `purpose`."""
        if req.get_header("Sec-Fetch-Site") in {"cross-site", "same-site"}:
            return False
        nonce = self._value(req, _FORM_COOKIE)
        return bool(nonce) and hmac.compare_digest(_sign(nonce or "", purpose).encode(), token.encode())

    def _value(self, req: falcon.Request, name: str) -> str | None:
        values = req.get_cookie_values(self._name(name))
        return values[0] if values else None


def _sign(nonce: str, purpose: str) -> str:
    return hmac.new(nonce.encode(), purpose.encode(), hashlib.sha256).hexdigest()

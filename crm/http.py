"""The one outgoing HTTP client: an allow-list of hosts, one deadline over the whole call, no redirects, no memory.

Built on the transport adapter of requests and not on its Session: a Session keeps cookies, reads .netrc and proxy
variables and prepares redirects, and none of that may happen to a call that carries a credential.
"""

import ipaddress
import json as json_lib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from crm.deadline import DeadlineTransport, calls_until
from crm.errors import CrmUnavailable, GiveUp, UntrustedHost
from crm.model import CallScope
from crm.text import MAX_TEXT, scrub

MAX_BODY_BYTES: Final = 20 * 1024 * 1024
USER_AGENT: Final = "morket-crm-sync/0.1"

_PRINTABLE_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # no spaces, controls or backslashes: parsers disagree about them
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Where calls may go.

    Attributes:
        suffixes: Host names of the vendor; a host is allowed when it is one of them or ends with `.` and one of them.
        sandbox_origin: `http://127.0.0.1:PORT`, or None in production.
    """

    suffixes: tuple[str, ...]
    sandbox_origin: str | None = None

    def check(self, url: str) -> str:
        """Return `url` when it may be called.

        Raises:
            UntrustedHost: it is not https on one of the vendor's hosts (default port, no userinfo) nor the sandbox's.
        """
        if not _PRINTABLE_URL.fullmatch(url):
            raise UntrustedHost("a URL with characters that do not belong into one was refused")
        parts = urlsplit(url)
        if self.sandbox_origin and f"{parts.scheme}://{parts.netloc}" == self.sandbox_origin:
            return url
        if parts.scheme != "https" or "@" in parts.netloc or not self._is_vendor(parts.netloc.lower()):
            raise UntrustedHost(
                f"{scrub(parts.hostname or 'a URL without host', 100)} is not one of the CRM's own hosts"
            )
        return url

    def _is_vendor(self, netloc: str) -> bool:
        host = netloc.removesuffix(":443")
        if _is_ip_literal(host):
            return False
        return any(host == suffix or host.endswith("." + suffix) for suffix in self.suffixes)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply, read whole. `headers` is case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is not JSON."""
        try:
            return json_lib.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None

    def text(self, limit: int = MAX_TEXT) -> str:
        """The start of the body as storable text, for error messages."""
        return scrub(self.body[: 4 * limit].decode("utf-8", "replace"), limit)

    @property
    def retry_after_s(self) -> float | None:
        """`Retry-After` in seconds (RFC 9110 section 10.2.3); its date form is not used by the CRMs and left out."""
        value = self.headers.get("Retry-After", "").strip()
        return float(value) if value.isascii() and value.isdigit() else None


class HttpClient:
    """Sends one request and gives back whatever status came; shared by all threads.

    Args:
        timeout_s: Seconds for a whole call: connect, send, headers and body.
        connect_timeout_s: Seconds for making the connection.
        allowed_hosts: Where calls may go.
        pool_size: Idle connections kept for each host.
    """

    def __init__(
        self, *, timeout_s: float, connect_timeout_s: float, allowed_hosts: AllowedHosts, pool_size: int = 64
    ) -> None:
        self.timeout_s = timeout_s
        self.allowed_hosts = allowed_hosts
        self._connect_timeout_s = min(connect_timeout_s, timeout_s)
        self._transport = DeadlineTransport(pool_connections=pool_size, pool_maxsize=pool_size, max_retries=0)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        scope: CallScope | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send one request; any HTTP status is returned, never raised.

        Args:
            method: `GET`, `POST`, …
            url: Checked against the allow-list.
            headers: Beside `User-Agent` and the ones that `json` and `form` imply.
            params: Query string.
            json: Body as JSON.
            form: Body as `application/x-www-form-urlencoded`.
            scope: Asked for leave just before the send; its `api_calls` goes up by one.
            timeout_s: For this call; never more than the client's own.

        Raises:
            UntrustedHost: the URL is not allowed.
            CrmUnavailable: no whole reply came in time; `may_have_arrived` is False only when no connection was made.
            LeaseLost: the scope refused.
        """
        prepared = _prepared(
            requests.Request(
                method,
                self.allowed_hosts.check(url),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})},
                params=params,
                json=json,
                data=form,
            )
        )
        total_s = min(timeout_s or self.timeout_s, self.timeout_s)
        # Before the leave: a process that is stopped between the two finds its call too late, and does not send it.
        deadline = time.monotonic() + total_s
        if scope is not None:
            scope.before_send(total_s)
            scope.api_calls += 1
        return self._exchange(prepared, total_s, deadline)

    def _exchange(self, prepared: requests.PreparedRequest, total_s: float, deadline: float) -> Reply:
        try:
            with calls_until(deadline):
                response = self._transport.send(
                    prepared, stream=True, timeout=(min(self._connect_timeout_s, total_s), total_s), verify=True
                )
                try:
                    body = _read(response)
                finally:
                    response.close()
        except requests.RequestException as problem:
            raise _unavailable(prepared, problem) from None
        return Reply(response.status_code, CaseInsensitiveDict(response.headers), body)


def _prepared(request: requests.Request) -> requests.PreparedRequest:
    try:
        return request.prepare()
    except ValueError:
        # Its text quotes the header that is at fault, and that may be the one with the token.
        raise GiveUp("the request cannot be sent: a header or the body holds what HTTP does not allow") from None


def _read(response: requests.Response) -> bytes:
    """The whole body, at most `MAX_BODY_BYTES` after decompression; the sockets themselves know the deadline."""
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise requests.exceptions.ContentDecodingError("body too large")
        chunks.append(chunk)
    return b"".join(chunks)


def _unavailable(prepared: requests.PreparedRequest, problem: requests.RequestException) -> CrmUnavailable:
    """The error of a call without a usable reply; names method, host and path only, for the rest may be secret."""
    parts = urlsplit(prepared.url or "")
    what = type(problem).__name__
    return CrmUnavailable(
        f"{prepared.method} {parts.hostname}{scrub(parts.path, 200)}: {what}",
        public=f"{parts.hostname} did not answer ({what})",
        may_have_arrived=not _never_connected(problem),
    )


def _never_connected(problem: requests.RequestException) -> bool:
    if isinstance(problem, requests.ConnectTimeout):
        return True
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in getattr(reason, "args", ())):
        return True
    # urllib3 names the failure of connect() so; a refusal after that is a ProtocolError.
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, which are no JSON (RFC 8259 section 6) and break every sum."""
    raise ValueError(f"{name} is not JSON")


def _is_ip_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True

"""Where the keys come from that access tokens are checked with: a shared secret, or a JSON Web Key Set (RFC 7517)."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt

from crm.errors import CrmError
from crm.http import AllowedHosts, HttpClient

#: A key set is read again after this long, so that withdrawn keys are forgotten.
MAX_AGE_S = 3600.0
#: An unknown key id makes the set be read again, but not more often than this: a flood of forged tokens costs nothing.
COOL_DOWN_S = 30.0
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class KeysUnavailable(Exception):
    """The key set could not be read; the text names where it was looked for."""


class UnknownKey(Exception):
    """No key fits the token's header."""


class KeySource(Protocol):
    """Gives the key of a token."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The `alg` values that this source's keys may sign with."""
        ...

    def key_for(self, header: dict[str, Any]) -> Any:
        """The key for a token with this (unverified) header.

        Raises:
            UnknownKey: there is none.
            KeysUnavailable: the keys cannot be read now.
        """
        ...


class SharedSecret:
    """HS256 with one secret: for development only, since who can check a token can also make one."""

    algorithms = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def key_for(self, header: dict[str, Any]) -> Any:  # noqa: ARG002 - the interface of every key source
        """The secret."""
        return self._secret


class JsonWebKeySet:
    """Public keys from a URL or a file, kept for an hour, read again early when a key id is unknown.

    Args:
        read: Gives the key set as JSON text; raises KeysUnavailable.
        clock: Monotonic seconds.
    """

    algorithms = _ASYMMETRIC

    def __init__(self, read: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at: float | None = None

    def key_for(self, header: dict[str, Any]) -> Any:
        """The key whose `kid` the header names; without `kid`, the only key of the set."""
        key_id = header.get("kid")
        with self._lock:
            if self._is_due(key_id):
                self._refresh()
            key = self._find(key_id)
        if key is None:
            raise UnknownKey("no key of the key set fits")
        # RFC 8725 section 3.1: the key, not the token, decides on the algorithm.
        if header.get("alg") != key.algorithm_name:
            raise UnknownKey("the token's algorithm is not the key's")
        return key.key

    def _is_due(self, key_id: object) -> bool:
        if self._read_at is None:
            return True
        age_s = self._clock() - self._read_at
        return age_s > MAX_AGE_S or (age_s > COOL_DOWN_S and self._find(key_id) is None)

    def _find(self, key_id: object) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def _refresh(self) -> None:
        try:
            self._keys = _public_keys(self._read())
        except KeysUnavailable:
            # Keys that were good an hour ago are better than locking everybody out; without any there is no choice.
            if not self._keys:
                raise
        self._read_at = self._clock()


def key_source(secret: str | None, jwks_url: str | None, *, timeout_s: float = 5.0) -> KeySource:
    """The key source that the settings ask for: exactly one of the two is given."""
    if jwks_url is None:
        return SharedSecret(secret or "")
    if urlsplit(jwks_url).scheme in {"https", "http"}:
        return JsonWebKeySet(_url_reader(jwks_url, timeout_s))
    return JsonWebKeySet(_file_reader(Path(jwks_url.removeprefix("file://"))))


def _url_reader(url: str, timeout_s: float) -> Callable[[], str]:
    parts = urlsplit(url)
    local_origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme == "http" else None
    hosts = AllowedHosts((parts.hostname or "",), local_origin)
    client = HttpClient(timeout_s=timeout_s, connect_timeout_s=timeout_s, allowed_hosts=hosts, pool_size=2)

    def read() -> str:
        try:
            reply = client.send("GET", url)
        except CrmError as problem:
            raise KeysUnavailable(f"the key set at {parts.netloc} cannot be read: {problem.public}") from None
        if reply.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise KeysUnavailable(f"the key set at {parts.netloc} answered with status {reply.status}")
        return reply.body.decode("utf-8", "replace")

    return read


def _file_reader(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return path.read_text(encoding="utf-8")
        except OSError as problem:
            raise KeysUnavailable(f"the key set file {path} cannot be read: {problem.strerror}") from None

    return read


def _public_keys(text: str) -> dict[str | None, jwt.PyJWK]:
    try:
        entries = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError):
        raise KeysUnavailable("the key set is not a JSON object with `keys` (RFC 7517 section 5)") from None
    keys: dict[str | None, jwt.PyJWK] = {}
    for entry in entries if isinstance(entries, list) else []:
        key = _public_key(entry)
        if key is not None:
            keys[key.key_id] = key
    if not keys:
        raise KeysUnavailable("the key set holds no signing key of a kind that is accepted")
    return keys


def _public_key(entry: Any) -> jwt.PyJWK | None:
    """One key of the set; None for what cannot sign (symmetric keys among them: RFC 8725 section 3.2)."""
    if not isinstance(entry, dict) or entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except jwt.PyJWTError:
        return None
    return key if key.algorithm_name in _ASYMMETRIC else None

"""AES-256-GCM encryption of what a workspace entrusts to us, under a key of its own (NIST SP 800-38D, RFC 5869).

The key of a workspace is derived from a master key with HKDF-SHA256; workspace, purpose and key id are bound as
associated data. So a text opens only with its own key, for its own workspace and purpose, and only whole. Several
master keys may be known by id: the first one encrypts, all of them decrypt.
"""

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crm.errors import VaultError
from crm.settings import SettingsProblem

VARIABLE: Final = "CRM_SYNC_MASTER_KEYS"
_KEY_BYTES: Final = 32
_IV_BYTES: Final = 12  # 96 bits: the size that SP 800-38D section 8.2 recommends
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Part of every key and every text ever sealed: changing one makes all of them unreadable.
_SALT: Final = b"morket-crm-sync vault v1"
_CONTEXT: Final = b"morket-crm-sync/v1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted text: three base64 strings (RFC 4648 section 4) and the id of the master key behind them.

    `iv` and `tag` are 16 and 24 characters long.
    """

    ciphertext: str
    iv: str
    tag: str
    key_id: str


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The master keys by id; `primary` names the one that encrypts."""

    primary: str
    by_id: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `k2:<base64 of 32 bytes>,k1:…`; the first is the primary one.

        Raises:
            SettingsProblem: with one line for each entry that is wrong. No line holds key material.
        """
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        if not entries:
            raise SettingsProblem(f"{VARIABLE} holds no key (expected: <key id>:<base64 of 32 bytes>,…)")
        keys: dict[str, bytes] = {}
        problems: list[str] = []
        for number, entry in enumerate(entries, start=1):
            key_id, _, encoded = entry.partition(":")
            problem = _entry_problem(key_id, encoded, known=keys)
            if problem:
                problems.append(f"  {VARIABLE}: key {number} {problem}")
            else:
                keys[key_id] = b64decode(encoded)
        if problems:
            raise SettingsProblem("these settings need attention:\n" + "\n".join(problems))
        return cls(next(iter(keys)), keys)


class Vault:
    """Seals and opens texts; one for all threads."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys

    @property
    def primary_key_id(self) -> str:
        """The id of the master key that encrypts."""
        return self._keys.primary

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all master keys that decrypt."""
        return frozenset(self._keys.by_id)

    def seal(self, plaintext: str, *, workspace_id: UUID, purpose: str) -> Sealed:
        """Encrypt `plaintext` with the primary key and a fresh IV.

        `purpose` says what the text is; only the same purpose opens it again (for tokens: `token_purpose`).
        """
        key_id = self._keys.primary
        iv = secrets.token_bytes(_IV_BYTES)
        bound = _associated_data(workspace_id, purpose, key_id)
        sealed = self._cipher(key_id, workspace_id).encrypt(iv, plaintext.encode(), bound)
        return Sealed(_encode(sealed[:-_TAG_BYTES]), _encode(iv), _encode(sealed[-_TAG_BYTES:]), key_id)

    def open(self, sealed: Sealed, *, workspace_id: UUID, purpose: str) -> str:
        """Decrypt what `seal` made for the same workspace and purpose.

        Raises:
            VaultError: the key id is unknown, a part is damaged, or the text was sealed for something else. The error's
                text never holds any of it.
        """
        if sealed.key_id not in self._keys.by_id:
            raise VaultError(f"sealed with key {sealed.key_id[:64]!r}, which {VARIABLE} does not hold", public=_PUBLIC)
        ciphertext = _decode(sealed.ciphertext, "ciphertext")
        iv = _decode(sealed.iv, "IV", length=_IV_BYTES)
        tag = _decode(sealed.tag, "tag", length=_TAG_BYTES)
        bound = _associated_data(workspace_id, purpose, sealed.key_id)
        try:
            return self._cipher(sealed.key_id, workspace_id).decrypt(iv, ciphertext + tag, bound).decode()
        except InvalidTag:
            raise VaultError(
                "the stored text does not open: it was changed, it belongs to another workspace or integration, or "
                f"{sealed.key_id!r} is not the key that sealed it",
                public=_PUBLIC,
            ) from None

    def _cipher(self, key_id: str, workspace_id: UUID) -> AESGCM:
        derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=_SALT, info=workspace_id.bytes)
        return AESGCM(derivation.derive(self._keys.by_id[key_id]))


_PUBLIC: Final = "the stored tokens cannot be decrypted; an operator must look at the keys"


def token_purpose(slug: str) -> str:
    """The purpose of the tokens of one integration: with the workspace it names exactly one row."""
    return f"tokens/{slug}"


def new_master_key(key_id: str) -> str:
    """A new random master key, as an entry of the setting: `<key id>:<base64>`.

    Raises:
        ValueError: the id has characters that the setting cannot hold.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise ValueError("a key id is 1 to 64 letters, digits, '.', '_' or '-'")
    return f"{key_id}:{_encode(secrets.token_bytes(_KEY_BYTES))}"


def _entry_problem(key_id: str, encoded: str, *, known: Mapping[str, bytes]) -> str | None:
    if not _KEY_ID.fullmatch(key_id) or not encoded:
        return "does not have the form <key id>:<base64 of 32 bytes> (id: letters, digits, '.', '_', '-')"
    if key_id in known:
        return f"repeats the id {key_id!r}; every key needs an id of its own"
    try:
        length = len(b64decode(encoded, validate=True))
    except ValueError:
        return f"({key_id!r}) is not base64"
    if length != _KEY_BYTES:
        return f"({key_id!r}) has {length} bytes, {_KEY_BYTES} are needed"
    return None


def _associated_data(workspace_id: UUID, purpose: str, key_id: str) -> bytes:
    """Unambiguous: the workspace has a fixed length, a key id holds no NUL, the purpose is the rest."""
    return b"\0".join((_CONTEXT, workspace_id.bytes, key_id.encode(), purpose.encode()))


def _encode(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _decode(text: str, part: str, length: int | None = None) -> bytes:
    """Strict base64: one content has one text, so that every changed bit is noticed."""
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        raise VaultError(f"the stored {part} is not base64", public=_PUBLIC) from None
    if _encode(content) != text:
        raise VaultError(f"the stored {part} is not canonical base64", public=_PUBLIC)
    if length is not None and len(content) != length:
        raise VaultError(f"the stored {part} has {len(content)} bytes instead of {length}", public=_PUBLIC)
    return content

"""Proof Key for Code Exchange, method S256 (RFC 7636)."""

import base64
import hashlib
import hmac
import re

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")


def is_challenge(code_challenge: str) -> bool:
    """Tell whether this can be a S256 challenge: 32 bytes in base64url without padding (section 4.2)."""
    return bool(_CHALLENGE.match(code_challenge))


def matches_challenge(code_verifier: str, code_challenge: str) -> bool:
    """Tell whether the verifier is well formed and belongs to the challenge (sections 4.1 and 4.6)."""
    if not _VERIFIER.match(code_verifier):
        return False
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"), code_challenge)

"""The fingerprint of a command: tells whether two messages with one id ask the same thing."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any


def body_hash(data: Mapping[str, Any]) -> bytes:
    """SHA-256 (32 bytes) over the JSON of `data` with sorted keys, so that white space and key order do not count."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(canonical.encode()).digest()

"""Text that PostgreSQL, JSON and a terminal can hold: no NUL, no lone surrogates, no endless messages."""

import re

#: Most characters of a text that came from a CRM and is published.
MAX_TEXT = 300

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """True unless `text` holds NUL (PostgreSQL refuses it) or a lone surrogate (UTF-8 cannot say it)."""
    # Nearly all text is ASCII, and then there is only NUL to look for.
    return "\x00" not in text if text.isascii() else _UNSTORABLE.search(text) is None


def scrub(text: str, limit: int = MAX_TEXT) -> str:
    """`text` without what cannot be stored, cut to `limit` characters with an ellipsis as the last of them."""
    clean = _UNSTORABLE.sub("", text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"

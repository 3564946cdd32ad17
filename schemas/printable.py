"""Foreign text made safe for logs, headers and databases."""


def printable(text: str, limit: int = 60) -> str:
    """At most `limit` characters of `text`, without control characters, NUL and lone surrogates (each becomes `?`)."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:limit])
    return shown + "…" if len(text) > limit else shown

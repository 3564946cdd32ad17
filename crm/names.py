"""Names of people: one text and its two parts. Pure."""

from schemas.values import FieldValue

# Written small, these begin a family name: Ludwig van Beethoven, Charles de Gaulle, Abd al-Rahman ibn Khaldun.
_PARTICLES = frozenset(
    {
        "al",
        "auf",
        "bin",
        "da",
        "dal",
        "de",
        "degli",
        "dei",
        "del",
        "della",
        "den",
        "der",
        "des",
        "di",
        "do",
        "dos",
        "du",
    }
    | {"el", "ibn", "la", "las", "le", "los", "ten", "ter", "van", "vom", "von", "zu", "zum", "zur"}
)


def split_full_name(full_name: str, *, first: FieldValue = None, last: FieldValue = None) -> tuple[str, str]:
    """The first and the last name in `full_name`; a part that is known already is taken out of it.

    One word is a last name, for that is what CRMs demand. `Last, First` is understood.

    Returns:
        (first name, last name); either may be empty.
    """
    words = full_name.split()
    if isinstance(first, str) and words[: len(first.split())] == first.split():
        return first, " ".join(words[len(first.split()) :])
    if isinstance(last, str) and words[len(words) - len(last.split()) :] == last.split():
        return " ".join(words[: len(words) - len(last.split())]), last
    family, comma, given = full_name.partition(",")
    if comma and family.strip() and given.strip():
        return " ".join(given.split()), " ".join(family.split())
    start = next((place for place, word in enumerate(words) if place and word in _PARTICLES), len(words) - 1)
    # A particle at the end is none: "Maria Da" has no family name after it.
    start = min(start, len(words) - 1)
    return " ".join(words[:start]), " ".join(words[start:])


def join_full_name(first: FieldValue, last: FieldValue) -> str | None:
    """The parts in one text; None when both are empty."""
    return " ".join(part for part in (first, last) if isinstance(part, str) and part) or None

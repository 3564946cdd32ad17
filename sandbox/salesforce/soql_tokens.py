"""Splitting SOQL text into tokens (SOQL reference, "Quoted String Escape Sequences", "Reserved Characters")."""

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from sandbox.salesforce.errors import refuse

TokenKind = Literal["name", "string", "number", "date", "datetime", "symbol", "end"]
MOST_CHARACTERS = 100_000

_PATTERNS: tuple[tuple[TokenKind, str], ...] = (
    ("datetime", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"),
    ("date", r"\d{4}-\d\d-\d\d"),
    ("number", r"[+-]?\d+(?:\.\d+)?"),
    ("name", r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*"),
    ("string", r"'(?:[^'\\]|\\.)*'"),
    ("symbol", r"!=|<>|<=|>=|[=<>(),:]"),
)
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS), re.DOTALL)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {
    "n": "\n", "N": "\n", "r": "\r", "R": "\r", "t": "\t", "T": "\t", "b": "\b", "B": "\b", "f": "\f", "F": "\f",
    '"': '"', "'": "'", "\\": "\\",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``text`` is as written, quotes included, ``position`` counts characters from 0."""

    kind: TokenKind
    text: str
    position: int


def malformed(soql: str, position: int, message: str, code: str = "MALFORMED_QUERY") -> NoReturn:
    """Refuse a query with the vendor's three-part message: the place, a caret under it, what is wrong.

    Raises:
        RefusedError: 400, always.
    """
    around = soql[max(0, position - 30) : position + 30].replace("\n", " ")
    caret = " " * min(position, 30) + "^"
    row = soql.count("\n", 0, position) + 1
    column = position - (soql.rfind("\n", 0, position) + 1) + 1
    raise refuse(400, code, f"\n{around}\n{caret}\nERROR at Row:{row}:Column:{column}\n{message}")


def tokenize(soql: str) -> list[Token]:
    """Return the tokens of a query, closed by one of kind ``end``."""
    if len(soql) > MOST_CHARACTERS:
        raise refuse(400, "QUERY_TOO_COMPLICATED", "SOQL statements cannot be longer than 100000 characters.")
    tokens: list[Token] = []
    position = _SPACE.match(soql).end()  # type: ignore[union-attr]  # it matches the empty text too
    while position < len(soql):
        match = _TOKEN.match(soql, position)
        if match is None or match.lastgroup is None:
            malformed(soql, position, f"unexpected token: '{soql[position]}'")
        kind = next(kind for kind, _ in _PATTERNS if kind == match.lastgroup)
        tokens.append(Token(kind, match[0], position))
        position = _SPACE.match(soql, match.end()).end()  # type: ignore[union-attr]  # as above
    return [*tokens, Token("end", "<EOF>", len(soql))]


def decode_string(soql: str, token: Token) -> str:
    r"""Return the value of a quoted string; an escape that SOQL does not know is refused.

    Besides the one-letter escapes, ``\uXXXX`` is legal. ``\_`` and ``\%`` belong to LIKE: see ``like_pattern``.
    """

    def replace(match: re.Match[str]) -> str:
        if len(match[1]) > 1:
            return chr(int(match[1][1:], 16))
        if match[1] not in _ESCAPED:
            malformed(soql, token.position, f"Illegal character sequence '{match[0]}' in string literal {token.text}.")
        return _ESCAPED[match[1]]

    return _ESCAPE.sub(replace, token.text[1:-1])


def like_pattern(soql: str, token: Token) -> re.Pattern[str]:
    r"""Return the pattern of a LIKE string: ``%`` any characters, ``_`` one, ``\%`` and ``\_`` themselves."""
    parts: list[str] = []
    position, text = 1, token.text
    while position < len(text) - 1:
        match = _ESCAPE.match(text, position)
        if match is not None:
            is_wildcard = match[1] in {"%", "_"}
            parts.append(re.escape(match[1] if is_wildcard else decode_string(soql, _quoted(match[0], token))))
            position = match.end()
        else:
            parts.append({"%": ".*", "_": "."}.get(text[position], re.escape(text[position])))
            position += 1
    return re.compile("".join(parts) + r"\Z", re.IGNORECASE | re.DOTALL)


def _quoted(escape: str, token: Token) -> Token:
    return Token("string", f"'{escape}'", token.position)

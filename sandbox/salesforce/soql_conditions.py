"""Parsing field paths, literals and WHERE conditions (SOQL reference, "Condition Expression Syntax")."""

from datetime import UTC, datetime
from typing import Any, NoReturn

from sandbox.salesforce.ids import to_18
from sandbox.salesforce.schema import NUMBER_TYPES, Field, ObjectType
from sandbox.salesforce.soql_syntax import (
    Combination,
    Comparison,
    Condition,
    Negation,
    ObjectFinder,
    Operator,
    Path,
    comparable,
)
from sandbox.salesforce.soql_tokens import Token, decode_string, like_pattern, malformed, tokenize

_OPERATORS: dict[str, Operator] = {
    "=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "LIKE": "LIKE", "IN": "IN",
}  # fmt: skip
_WANTED = {"datetime": "dateTime", "date": "date", "boolean": "boolean", "int": "int"}
_NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' "
    "after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
)


class ConditionParser:
    """A cursor over the tokens of one query, and the grammar of its conditions."""

    kind: ObjectType
    """The object after FROM; set before the first path is read."""

    def __init__(self, soql: str, find_object: ObjectFinder) -> None:
        self.soql = soql
        self.find_object = find_object
        self.tokens = tokenize(soql)
        self.at = 0

    def peek(self) -> Token:
        """Return the next token and stay."""
        return self.tokens[self.at]

    def advance(self) -> Token:
        """Return the next token and step over it."""
        token = self.tokens[self.at]
        if token.kind == "end":
            self.unexpected()
        self.at += 1
        return token

    def is_next(self, word: str) -> bool:
        """Tell whether the next token is this keyword or symbol."""
        token = self.peek()
        return token.kind in {"name", "symbol"} and token.text.upper() == word

    def skip(self, word: str) -> bool:
        """Step over this keyword or symbol if it is next; tell whether it was."""
        is_there = self.is_next(word)
        self.at += is_there
        return is_there

    def expect(self, word: str) -> None:
        """Step over this keyword or symbol, or refuse the query."""
        if not self.skip(word):
            self.unexpected()

    def unexpected(self) -> NoReturn:
        """Refuse the query at the next token."""
        token = self.peek()
        message = "unexpected end of query" if token.kind == "end" else f"unexpected token: '{token.text}'"
        malformed(self.soql, token.position, message)

    def refuse_at(self, token: Token, message: str, code: str = "MALFORMED_QUERY") -> NoReturn:
        """Refuse the query at a token."""
        malformed(self.soql, token.position, message, code)

    def path(self, *, for_filter: bool = False) -> Path:
        """Read ``Field`` or ``Parent.Field``."""
        token = self.advance()
        if token.kind != "name":
            self.at -= 1
            self.unexpected()
        names = token.text.split(".")
        if names[0].lower() == self.kind.name.lower() and len(names) > 1:
            names = names[1:]
        path = self._resolve(token, names)
        if for_filter and not path.field.is_filterable:
            message = f"field '{path.field.name}' can not be filtered in a query call"
            self.refuse_at(token, message, "INVALID_FIELD")
        return path

    def _resolve(self, token: Token, names: list[str]) -> Path:
        if len(names) == 1:
            return Path(self._field(token, self.kind, names[0]))
        reference = next(
            (entry for entry in self.kind.field_list if (entry.relationship or "").lower() == names[0].lower()), None
        )
        parent = self.find_object(reference.reference_to[0]) if reference else None
        if reference is None or parent is None or len(names) > 2:  # noqa: PLR2004  one step up is what is simulated
            message = f"Didn't understand relationship '{names[0]}' in field path."
            self.refuse_at(token, message, "INVALID_FIELD")
        return Path(self._field(token, parent, names[1]), reference, parent)

    def _field(self, token: Token, kind: ObjectType, name: str) -> Field:
        known = kind.find(name)
        if known is None:
            self.refuse_at(token, _NO_COLUMN.format(name, kind.name), "INVALID_FIELD")
        return known

    def condition(self) -> Condition:
        """Read conditions joined by AND or OR; mixing both needs parentheses, as in SOQL."""
        conditions = [self._term()]
        joiner = self.peek().text.upper()
        if joiner not in {"AND", "OR"}:
            return conditions[0]
        while self.skip(joiner):
            conditions.append(self._term())
        if self.is_next("AND") or self.is_next("OR"):
            self.unexpected()
        return Combination("AND" if joiner == "AND" else "OR", tuple(conditions))

    def _term(self) -> Condition:
        if self.skip("NOT"):
            return Negation(self._term())
        if self.skip("("):
            inside = self.condition()
            self.expect(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Comparison:
        path = self.path(for_filter=True)
        operator = self._operator()
        if operator in {"IN", "NOT IN"}:
            return Comparison(path, operator, frozenset(self._list(path.field)))
        token = self.advance()
        if operator != "LIKE":
            return Comparison(path, operator, comparable(path.field, self._literal(token, path.field)))
        if token.kind != "string":
            self.refuse_at(token, f"unexpected token: '{token.text}'")
        return Comparison(path, operator, pattern=like_pattern(self.soql, token))

    def _operator(self) -> Operator:
        token = self.advance()
        if token.text.upper() == "NOT":
            self.expect("IN")
            return "NOT IN"
        operator = _OPERATORS.get(token.text.upper())
        if operator is None:
            self.refuse_at(token, f"unexpected token: '{token.text}'")
        return operator

    def _list(self, known: Field) -> list[Any]:
        self.expect("(")
        values = [comparable(known, self._literal(self.advance(), known))]
        while self.skip(","):
            values.append(comparable(known, self._literal(self.advance(), known)))
        self.expect(")")
        return values

    def _literal(self, token: Token, known: Field) -> Any:
        word = token.text.upper()
        if token.kind == "name" and word == "NULL":
            return None
        if token.kind == "name" and word not in {"TRUE", "FALSE"}:
            self.refuse_at(token, f"unexpected token: '{token.text}'")
        if known.type == "boolean":
            return word == "TRUE" if token.kind == "name" else self._wrong(token, known)
        if known.type in NUMBER_TYPES:
            return float(token.text) if token.kind == "number" else self._wrong(token, known)
        if known.type == "datetime":
            return self._instant(token) if token.kind == "datetime" else self._wrong(token, known)
        if known.type == "date":
            return token.text if token.kind == "date" else self._wrong(token, known)
        return self._text(token, known) if token.kind == "string" else self._wrong(token, known)

    def _text(self, token: Token, known: Field) -> str:
        value = decode_string(self.soql, token)
        if known.type not in {"id", "reference"}:
            return value
        record_id = to_18(value)
        if record_id is None:
            self.refuse_at(token, f"invalid ID field: {value}", "INVALID_QUERY_FILTER_OPERATOR")
        return record_id

    def _instant(self, token: Token) -> float:
        try:
            return datetime.fromisoformat(token.text).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            self.refuse_at(token, f"line {1}, invalid date: {token.text}")

    def _wrong(self, token: Token, known: Field) -> NoReturn:
        is_text = known.type not in {"datetime", "date", "boolean", *NUMBER_TYPES}
        wanted = "string" if is_text else _WANTED.get(known.type, "double")
        ending = "should be enclosed in quotes" if is_text else "should not be enclosed in quotes"
        message = f"value of filter criterion for field '{known.name}' must be of type {wanted} and {ending}"
        self.refuse_at(token, message, "INVALID_FIELD")

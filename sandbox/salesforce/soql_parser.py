"""Parsing the part of SOQL that a sync needs: one object, its fields and parents, WHERE, ORDER BY, LIMIT, OFFSET.

SOQL reference, "SOQL SELECT Syntax". Subqueries, aggregates other than COUNT(), GROUP BY, SCOPE and date literals such
as TODAY are refused as MALFORMED_QUERY.
"""

from sandbox.salesforce.errors import refuse
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.soql_conditions import ConditionParser
from sandbox.salesforce.soql_syntax import ObjectFinder, Ordering, Path, Query

MOST_OFFSET = 2000
_FIELDS_LIMIT = 200


class QueryParser(ConditionParser):
    """Parses one query text."""

    def __init__(self, soql: str, find_object: ObjectFinder) -> None:
        super().__init__(soql, find_object)

    def parse(self) -> Query:
        """Return the query.

        Raises:
            RefusedError: 400 with MALFORMED_QUERY, INVALID_FIELD or INVALID_TYPE.
        """
        self.expect("SELECT")
        start = self.at
        while not self.is_next("FROM"):
            self.advance()
        self.expect("FROM")
        self.kind = self._object()
        after_from = self.at
        self.at = start
        paths, is_all = self._select_list()
        self.at = after_from
        where = self.condition() if self.skip("WHERE") else None
        order_by = self._order_by()
        limit = self._number("LIMIT")
        offset = self._number("OFFSET") or 0
        if self.peek().kind != "end":
            self.unexpected()
        if offset > MOST_OFFSET:
            raise refuse(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if is_all and (limit is None or limit > _FIELDS_LIMIT):
            raise refuse(400, "MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
        return Query(self.kind, paths, where, order_by, limit, offset)

    def _object(self) -> ObjectType:
        token = self.advance()
        if token.kind != "name":
            self.at -= 1
            self.unexpected()
        kind = self.find_object(token.text)
        if kind is None:
            message = (
                f"sObject type '{token.text}' is not supported. If you are attempting to use a custom object, be sure "
                "to append the '__c' after the entity name."
            )
            self.refuse_at(token, message, "INVALID_TYPE")
        return kind

    def _select_list(self) -> tuple[tuple[Path, ...], bool]:
        if self.is_next("COUNT") and self.tokens[self.at + 1].text == "(":
            self.advance()
            self.expect("(")
            self.expect(")")
            self._expect_from()
            return (), False
        paths: list[Path] = []
        is_all = False
        while True:
            if self.is_next("FIELDS") and self.tokens[self.at + 1].text == "(":
                paths += self._fields_function()
                is_all = True
            else:
                paths.append(self.path())
            if not self.skip(","):
                break
        self._expect_from()
        return tuple(paths), is_all

    def _expect_from(self) -> None:
        if not self.is_next("FROM"):
            self.unexpected()

    def _fields_function(self) -> list[Path]:
        self.advance()
        self.expect("(")
        wanted = self.advance()
        self.expect(")")
        which = wanted.text.upper()
        if which not in {"ALL", "STANDARD", "CUSTOM"}:
            self.refuse_at(wanted, f"unexpected token: '{wanted.text}'")
        return [
            Path(entry) for entry in self.kind.field_list if which == "ALL" or entry.is_custom == (which == "CUSTOM")
        ]

    def _order_by(self) -> tuple[Ordering, ...]:
        if not self.skip("ORDER"):
            return ()
        self.expect("BY")
        orderings = [self._ordering()]
        while self.skip(","):
            orderings.append(self._ordering())
        return tuple(orderings)

    def _ordering(self) -> Ordering:
        path = self.path(for_filter=True)
        is_descending = self.skip("DESC")
        if not is_descending:
            self.skip("ASC")
        nulls_last = False
        if self.skip("NULLS"):
            nulls_last = self.skip("LAST")
            if not nulls_last:
                self.expect("FIRST")
        return Ordering(path, is_descending, nulls_last)

    def _number(self, keyword: str) -> int | None:
        if not self.skip(keyword):
            return None
        token = self.advance()
        if token.kind != "number" or not token.text.isdigit():
            self.at -= 1
            self.unexpected()
        return int(token.text)


def parse_query(soql: str, find_object: ObjectFinder) -> Query:
    """Parse a query text; see ``QueryParser.parse``."""
    return QueryParser(soql, find_object).parse()

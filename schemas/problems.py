"""What is wrong with a command, in words for its publisher: pydantic's errors turned into few lines with paths."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from json import dumps
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas import values
from schemas.command import PullCommand, PushCommand, PushRecord
from schemas.printable import printable

#: At most this many lines are told; the last one then says how many more there are.
MAX_PROBLEMS: Final = 20

_FIELDS_OF: Final[Mapping[str, frozenset[str]]] = {
    "push": frozenset(PushCommand.model_fields),
    "pull": frozenset(PullCommand.model_fields),
}
_ALL_FIELDS: Final = _FIELDS_OF["push"] | _FIELDS_OF["pull"]
_ONE_OF_DIRECTIONS: Final = '"push" (write records) or "pull" (read records)'
_VALUE: Final = "must be a string, number, boolean or list of strings"
_NOT_UNICODE: Final = "is not valid Unicode: it holds half of a surrogate pair"

#: Pydantic's location of a field's value: "records", index, "fields", name; then the branch of the union.
_VALUE_DEPTH: Final = 4
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
#: What pydantic puts behind the name of a key that is wrong itself.
_KEY: Final = "[key]"

_IN_WORDS: Final[Mapping[str, str]] = {
    values.SLUG_PATTERN: "must be the slug of a CRM: lower-case letters, digits, _ and -, a letter first, at most 50",
    values.COMMAND_ID_PATTERN: "must be 1 to 128 printable ASCII characters without a space at either end",
    values.REF_PATTERN: "must be 1 to 200 characters without control characters",
    values.ENTITY_PATTERN: "must be person, company or the CRM's object name: letters, digits, _ and -, at most 100",
    values.MORKET_FIELD_PATTERN: "is no Morket field name: letters, digits and _, a letter first, at most 100",
    values.MATCH_FIELD_PATTERN: "must be a Morket field name, or crm: and the name of a unique CRM field",
    values.CRM_ID_PATTERN: "must be 1 to 40 letters and digits",
}

_IN_WORDS_BY_TYPE: Final[Mapping[str, str]] = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": _NOT_UNICODE,
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "datetime_from_date_parsing": "must be a date and time that exist",
    "union_tag_not_found": f"is required: {_ONE_OF_DIRECTIONS}",
}

_IN_WORDS_BY_BOUND: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "literal_error": lambda bound: f"must be {bound['expected']}".replace("'", '"'),
    "string_pattern_mismatch": lambda bound: _IN_WORDS[bound["pattern"]],
    "too_long": lambda bound: f"must hold at most {bound['max_length']} {_entries(bound['max_length'])}",
    "string_too_long": lambda bound: f"must have at most {bound['max_length']} characters",
    "greater_than_equal": lambda bound: f"must be at least {bound['ge']}",
    "less_than_equal": lambda bound: f"must be at most {bound['le']}",
    "union_tag_invalid": lambda bound: f"must be {_ONE_OF_DIRECTIONS}, not {_quoted(bound['tag'])}",
}

_Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong.

    Attributes:
        path: Where, as in `records[3].fields.email`; empty for the command as a whole.
        message: What, in words for a person. It names fields but no values, so that no personal data travels on.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def explain(error: ValidationError) -> list[FieldProblem]:
    """What is wrong with a command that `SYNC_COMMAND` refused: 1 to `MAX_PROBLEMS` lines, in the command's order."""
    details = error.errors(include_url=False, include_input=False)
    problems = list(dict.fromkeys(_problems(details)))
    if len(problems) <= MAX_PROBLEMS:
        return problems
    told = problems[: MAX_PROBLEMS - 1]
    return [*told, FieldProblem("", f"and {len(problems) - len(told)} more problems")]


def _problems(details: Iterable[ErrorDetails]) -> Iterator[FieldProblem]:
    for place, group in groupby(details, key=_subject):
        if _is_value(place):
            yield FieldProblem(_path(place), _about_value({one["type"] for one in group}))
        else:
            yield from (_problem(place, one) for one in group)


def _subject(one: ErrorDetails) -> _Place:
    """The place that an error is about: the branches of a value's union all speak about the value."""
    place = _without_direction(one["loc"])
    is_branch = place[0:1] == ("records",) and place[2:3] == ("fields",) and len(place) > _VALUE_DEPTH
    return place[:_VALUE_DEPTH] if is_branch and place[_VALUE_DEPTH] != _KEY else place


def _without_direction(place: _Place) -> _Place:
    return place[1:] if place and place[0] in _FIELDS_OF else place


def _is_value(place: _Place) -> bool:
    return place[0:1] == ("records",) and place[2:3] == ("fields",) and len(place) == _VALUE_DEPTH


def _about_value(types: set[str]) -> str:
    if "finite_number" in types:
        return "must be a finite number"
    return _NOT_UNICODE if "string_unicode" in types else _VALUE


def _problem(place: _Place, one: ErrorDetails) -> FieldProblem:
    kind = one["type"]
    if kind.startswith("union_tag"):
        place = ("direction",)
    if place[-1:] == (_KEY,):
        place = place[:-1]
    if kind == "extra_forbidden":
        return FieldProblem(_path(place), _about_unknown(place, str(one["loc"][0])))
    message = _in_words(one)
    return FieldProblem(_path(place), message if place else f"the command {message}")


def _in_words(one: ErrorDetails) -> str:
    kind = one["type"]
    if kind in _IN_WORDS_BY_BOUND:
        return _IN_WORDS_BY_BOUND[kind](one["ctx"])
    # What is left are the models' own sentences.
    return _IN_WORDS_BY_TYPE.get(kind) or printable(one["msg"].removeprefix("Value error, "), 300)


def _about_unknown(place: _Place, direction: str) -> str:
    """An unknown field, with the one that was probably meant."""
    name = str(place[-1])
    is_of_record = len(place) > 1
    known = PushRecord.model_fields.keys() if is_of_record else _FIELDS_OF.get(direction, _ALL_FIELDS)
    said = f"unknown field {_quoted(name)}"
    close = get_close_matches(name.lower()[:100], sorted(known), n=1, cutoff=0.7)
    if close:
        return f'{said}; did you mean "{close[0]}"?'
    if is_of_record:
        return f'{said}; Morket fields stand inside "fields"'
    owner = next((of for of, names in _FIELDS_OF.items() if name in names), None)
    return f"{said}; only {owner} commands have it" if owner else said


def _path(place: _Place) -> str:
    """`("records", 3, "fields", "email")` as `records[3].fields.email`; names that are no plain words are quoted."""
    path = ""
    for step in place:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if _PLAIN.fullmatch(step) else f"[{_quoted(step)}]"
    return path.removeprefix(".")


def _entries(count: int) -> str:
    return "entry" if count == 1 else "entries"


def _quoted(text: str) -> str:
    return dumps(printable(text), ensure_ascii=False)

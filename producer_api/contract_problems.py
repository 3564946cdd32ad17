"""What is wrong with the small bodies of this API, field by field. Commands have `schemas.problems`. Pure."""

from pydantic import ValidationError

from producer_api.problems import FieldProblem

#: A body with hundreds of faults is answered with the first ones.
MAX_PROBLEMS = 20

_WORDS = {"missing": "is required", "extra_forbidden": "is not a field of this contract; leave it out"}


def field_problems(problem: ValidationError) -> tuple[FieldProblem, ...]:
    """One entry for each field that is wrong, its path as in `overrides[3].crm_field`."""
    found: dict[str, FieldProblem] = {}
    for error in problem.errors(include_url=False, include_input=False):
        path = _path(error["loc"])
        message = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
        found.setdefault(path, FieldProblem(path, message[:300]))
    return tuple(found.values())[:MAX_PROBLEMS]


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:100]}" for step in location)
    return path.removeprefix(".")

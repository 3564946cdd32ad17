"""The file of ``--faults``: switches of both CRMs and a seed, as JSON; checked whole before the sandbox starts.

.. code-block:: json

   {"seed": 7, "salesforce": {"row_lock_every": 50}, "hubspot": {"random_fault_percent": 5, "search_delay_ms": 10000}}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sandbox.config import SandboxConfig
from sandbox.switches import HubspotSwitches, SalesforceSwitches, Switches

REALISTIC: Mapping[str, Mapping[str, Any]] = {"hubspot": {"search_delay_ms": 3000}}
"""What a sandbox that is run as a program starts with: the lag of HubSpot's search, which tests ask for by name."""

_MEMBERS = ("seed", "salesforce", "hubspot")


class FaultFileError(Exception):
    """A fault file that cannot be used; ``problems`` are all of them, each a sentence that names its place."""

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


@dataclass(frozen=True, slots=True)
class FaultFile:
    """What a fault file says; ``seed`` is ``None`` when it names none."""

    switches: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int | None = None


def served_config(
    *,
    origin: str | None = None,
    faults: Path | None = None,
    seed: int | None = None,
    search_delay_ms: int | None = None,
) -> SandboxConfig:
    """Return the configuration of a sandbox that is run as a program.

    ``seed`` and ``search_delay_ms`` go before the file's, the file's switches before the realistic ones.

    Raises:
        FaultFileError: The file cannot be used.
    """
    plan = FaultFile() if faults is None else read_fault_file(faults)
    switches = {crm: {**REALISTIC.get(crm, {}), **plan.switches.get(crm, {})} for crm in _MEMBERS[1:]}
    if search_delay_ms is not None:
        switches["hubspot"]["search_delay_ms"] = search_delay_ms
    return SandboxConfig(origin=origin, switches=switches, seed=plan.seed if seed is None else seed)


def read_fault_file(path: Path) -> FaultFile:
    """Read and check a fault file.

    Raises:
        FaultFileError: It cannot be read, is no JSON object, or names a seed, CRM, switch or value that is not known.
    """
    plan = _read_object(path)
    problems = [
        f'unknown member "{name}"{_hint(name, _MEMBERS)}; it takes {", ".join(_MEMBERS)}'
        for name in plan
        if name not in _MEMBERS
    ]
    seed = plan.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        problems.append("seed: a whole number of 0 or more was expected")
    switches = {crm: plan[crm] for crm in _MEMBERS[1:] if crm in plan}
    problems += _switch_problems(switches)
    if problems:
        raise FaultFileError(path, problems)
    return FaultFile(switches, seed)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repetition)
    except OSError as error:
        raise FaultFileError(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise FaultFileError(path, ["is not UTF-8 text"]) from error
    except json.JSONDecodeError as error:
        raise FaultFileError(
            path, [f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"]
        ) from error
    except _RepeatedError as error:
        raise FaultFileError(path, [f'"{error}" is there twice']) from error
    if not isinstance(plan, dict):
        raise FaultFileError(path, ["a JSON object was expected"])
    return plan


class _RepeatedError(Exception):
    """A JSON object with one name twice, of which JSON would silently keep the last."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise _RepeatedError(name)
        seen[name] = value
    return seen


def _switch_problems(switches: dict[str, Any]) -> list[str]:
    try:
        Switches().merged(switches)
    except ValidationError as error:
        return [_sentence([str(part) for part in one["loc"]], one["type"], one["msg"]) for one in error.errors()]
    return []


def _sentence(place: list[str], kind: str, message: str) -> str:
    where = ".".join(place)
    if kind == "model_type":
        return f"{where}: an object of switches was expected"
    if kind != "extra_forbidden":
        return f"{where}: {message.removeprefix('Value error, ')}"
    known = SalesforceSwitches.model_fields if place[0] == "salesforce" else HubspotSwitches.model_fields
    return f"{where}: there is no such switch{_hint(place[-1], known)}"


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""

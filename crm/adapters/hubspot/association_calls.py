"""The calls that associations cost: finding the targets, reading what is tied already, tying the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from crm.adapters.hubspot.associations import AssociationType, Wish, is_needed, types_to_wire
from crm.adapters.hubspot.batch import split_budget_for
from crm.adapters.hubspot.calls import Calls, json_object, objects_in
from crm.adapters.hubspot.drafts import Draft, MatchRule
from crm.adapters.hubspot.errors import error_of, raise_for_status
from crm.adapters.hubspot.matches import LookUp
from crm.adapters.hubspot.pace import SearchPace
from crm.adapters.hubspot.search import Search
from crm.errors import CallRefused
from crm.matching import normalise
from crm.text import scrub
from schemas.result import OutcomeWarning

_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Tie:
    """One record of HubSpot that may have to be tied to another; `index` is the record's place in the command."""

    index: int
    crm_id: str
    wish: Wish
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class TargetFinder:
    """Finds the records that wishes name: one search for all of a command, one read for given ids."""

    calls: Calls
    pace: SearchPace

    def resolve(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts with the targets of their wishes; a wish without exactly one target becomes a warning."""
        found: dict[tuple[str, str], list[str]] = {}
        for kind in {wish.kind for item in drafts for wish in item.associations}:
            values = dict.fromkeys(wish.value for item in drafts for wish in item.associations if wish.kind == kind)
            found |= {(kind.to_object, value): ids for value, ids in self._ids(kind, list(values)).items()}
        return [_with_targets(item, found) for item in drafts]

    def _ids(self, kind: AssociationType, values: Sequence[str]) -> dict[str, list[str]]:
        rule = MatchRule("", kind.key_property, kind.kind, is_unique=kind.kind == "email")
        sought = [_sought(index, kind, value) for index, value in enumerate(values)]
        matches = LookUp(Search(self.calls, kind.to_object, self.pace), rule, {}).matches(sought)
        return {value: [record.crm_id for record in matches.get(index, [])] for index, value in enumerate(values)}


def _sought(index: int, kind: AssociationType, value: str) -> Draft:
    if value.isascii() and value.isdigit():
        return Draft(index, crm_id=value)
    return Draft(index, match_value=normalise(kind.kind, value))


def _with_targets(item: Draft, found: Mapping[tuple[str, str], list[str]]) -> Draft:
    wishes: list[Wish] = []
    warnings: list[OutcomeWarning] = []
    for wish in item.associations:
        ids = found.get((wish.kind.to_object, wish.value), [])
        if len(ids) == 1:
            wishes.append(replace(wish, target=ids[0]))
        else:
            warnings.append(_no_target(item, wish, ids))
    return replace(item, associations=tuple(wishes), warnings=(*item.warnings, *warnings))


def _no_target(item: Draft, wish: Wish, ids: Sequence[str]) -> OutcomeWarning:
    named = wish.value[:100]
    if ids:
        message = (
            f"{len(ids)} records of {wish.kind.to_object} match {named}: {', '.join(ids[:5])}; none was associated"
        )
        return association_warning("association_several_matches", message, item, wish)
    message = f"HubSpot has no record in {wish.kind.to_object} for {named}; nothing was associated"
    return association_warning("association_not_found", message, item, wish)


def association_warning(code: str, message: str, item: Draft, wish: Wish) -> OutcomeWarning:
    """A warning about an association that was not made; the record itself is written."""
    field_name = item.morket_field_of.get(wish.crm_field)
    return OutcomeWarning(code=code, field=field_name, crm_field=wish.crm_field, message=scrub(message))


@dataclass(slots=True)
class Binder:
    """Ties written records to their targets.

    Attributes:
        tied: Indices of records that this push tied.
        settled: Indices of records that need nothing, or whose association was refused.
        refused: Index -> what HubSpot said against it.
    """

    calls: Calls
    crm_object: str
    tied: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    _budget: int = 0

    def bind(self, kind: AssociationType, ties: Sequence[Tie]) -> None:
        """Make the associations that are still missing.

        Raises:
            CrmError: a run-level error; what was tied before it is in `tied`.
        """
        existing = self._existing(kind, [tie.crm_id for tie in ties if not tie.is_new])
        needed = [tie for tie in ties if is_needed(tie.wish, existing.get(tie.crm_id, {}), is_new=tie.is_new)]
        self.settled |= {tie.index for tie in ties} - {tie.index for tie in needed}
        self._budget = split_budget_for(len(needed))
        for start in range(0, len(needed), _BATCH):
            self._create(kind, needed[start : start + _BATCH])

    def _existing(self, kind: AssociationType, crm_ids: Iterable[str]) -> dict[str, dict[str, frozenset[int]]]:
        """Record id -> target id -> type ids; records without association come as errors, which say nothing more."""
        path = self.calls.associations_path(self.crm_object, kind.to_object, "/batch/read")
        names = list(dict.fromkeys(crm_ids))
        found: dict[str, dict[str, frozenset[int]]] = {}
        for start in range(0, len(names), _BATCH):
            reply = self.calls.send(
                "POST", path, json={"inputs": [{"id": name} for name in names[start : start + _BATCH]]}
            )
            raise_for_status(reply, what=f"POST {path}")
            for result in objects_in(json_object(reply, f"POST {path}").get("results")):
                source = result.get("from")
                if isinstance(source, Mapping):
                    found[str(source.get("id"))] = _targets(result)
        return found

    def _create(self, kind: AssociationType, ties: Sequence[Tie]) -> None:
        path = self.calls.associations_path(self.crm_object, kind.to_object, "/batch/create")
        inputs = [
            {"from": {"id": tie.crm_id}, "to": {"id": tie.wish.target}, "types": types_to_wire(kind)} for tie in ties
        ]
        reply = self.calls.send("POST", path, json={"inputs": inputs})
        if 200 <= reply.status < 300:  # noqa: PLR2004
            self._read(ties, json_object(reply, f"POST {path}"))
            return
        error = error_of(reply, what=f"POST {path}")
        if not isinstance(error, CallRefused):
            raise error
        if not error.may_split or len(ties) == 1 or self._budget < 2:  # noqa: PLR2004 - a split costs two calls
            self._refuse(ties, error.public)
            return
        self._budget -= 2
        middle = len(ties) // 2
        self._create(kind, ties[:middle])
        self._create(kind, ties[middle:])

    def _read(self, ties: Sequence[Tie], body: Mapping[str, Any]) -> None:
        """Tie by tie: named in `results` is tied, anything else is refused with what HubSpot said."""
        made = {
            (str(result.get("fromObjectId")), str(result.get("toObjectId")))
            for result in objects_in(body.get("results"))
        }
        said = "; ".join(str(error.get("message")) for error in objects_in(body.get("errors")) if error.get("message"))
        for tie in ties:
            if (tie.crm_id, tie.wish.target) in made:
                self.tied.add(tie.index)
            else:
                self._refuse([tie], said or "HubSpot's answer does not name this association")

    def _refuse(self, ties: Sequence[Tie], said: str) -> None:
        self.refused |= {tie.index: said for tie in ties}
        self.settled |= {tie.index for tie in ties}


def _targets(result: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    return {
        str(target.get("toObjectId")): frozenset(
            kind["typeId"] for kind in objects_in(target.get("associationTypes")) if isinstance(kind.get("typeId"), int)
        )
        for target in objects_in(result.get("to"))
    }

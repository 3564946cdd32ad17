"""Batch writes: one input a record, a trace id on each, every input answered whatever HubSpot's reply looks like.

HubSpot writes the good inputs of a batch only when every input carries a unique `objectWriteTraceId`; `results` come
in any order, may be fewer than the inputs, and errors may stand in any 2xx reply. Sources:
developers.hubspot.com/docs/api-reference/error-handling (multi-status errors),
developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide (batch upsert).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from crm.adapters.hubspot.calls import Calls, json_object, objects_in
from crm.adapters.hubspot.errors import Reason, error_of, reasons_of
from crm.errors import CallRefused, CrmError, CrmUnavailable, LeaseLost
from crm.http import Reply

#: Inputs per batch call, for every operation.
BATCH_SIZE: Final = 100

Operation = Literal["create", "update", "upsert", "archive"]
Fate = Literal["written", "refused", "silent", "split_budget_spent", "interrupted", "not_sent"]


@dataclass(frozen=True, slots=True)
class Input:
    """One record to write.

    Attributes:
        index: The record's place in the command.
        target: What names the record: its id (update), its unique value (upsert), None (create).
        id_property: The unique property that `target` is a value of; None when it is a record id.
        associations: Of a new record, as they stand on the wire.
    """

    index: int
    properties: Mapping[str, str]
    target: str | None = None
    id_property: str | None = None
    associations: tuple[Mapping[str, Any], ...] = ()

    @property
    def trace_id(self) -> str:
        """Unique within the call, which is all that HubSpot asks."""
        return f"record-{self.index}"

    def to_wire(self, operation: Operation) -> dict[str, Any]:
        """The element of `inputs`; `associations` is marked as required for creates only."""
        if operation == "archive":
            return {"id": self.target}
        wire: dict[str, Any] = {"properties": dict(self.properties), "objectWriteTraceId": self.trace_id}
        if operation == "create":
            return {**wire, "associations": list(self.associations)}
        wire["id"] = self.target
        return {**wire, "idProperty": self.id_property} if self.id_property else wire


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one input.

    Attributes:
        is_new: For upserts: HubSpot made the record.
        reasons: Why it was refused, or what HubSpot said without naming a record.
        error: The run-level error that interrupted its call.
    """

    fate: Fate
    crm_id: str | None = None
    is_new: bool = False
    reasons: tuple[Reason, ...] = ()
    error: CrmError | None = None


def reconcile(inputs: Sequence[Input], body: Mapping[str, Any]) -> dict[int, Answer]:
    """Index -> answer for every input of a 2xx reply; an input in neither list is `silent`.

    Results are tied to inputs by trace id, then by id, then by the unique property's value in any case.
    """
    finder = _Finder(inputs)
    answers: dict[int, Answer] = {}
    unnamed: list[tuple[Reason, ...]] = []
    for error in objects_in(body.get("errors")):
        refused = finder.named_by(error)
        answers |= {index: Answer("refused", reasons=reasons_of(error)) for index in refused}
        unnamed += [] if refused else [reasons_of(error)]
    for result in objects_in(body.get("results")):
        written = finder.made(result)
        if written is not None and result.get("id"):
            answers[written] = Answer("written", crm_id=str(result["id"]), is_new=result.get("new") is True)
    rest = _unanswered([item.index for item in inputs if item.index not in answers], unnamed)
    return {item.index: answers.get(item.index, rest) for item in inputs}


def _unanswered(indices: Sequence[int], unnamed: Sequence[tuple[Reason, ...]]) -> Answer:
    """The answer of inputs in neither list: one input and one error without a name belong together."""
    if len(indices) == len(unnamed) == 1:
        return Answer("refused", reasons=unnamed[0])
    return Answer("silent", reasons=tuple(reason for reasons in unnamed for reason in reasons))


def reconcile_archive(inputs: Sequence[Input], body: Any) -> dict[int, Answer]:
    """Index -> answer of an archive: 204 without a body says yes to all, ids that never were included."""
    finder = _Finder(inputs)
    answers = {item.index: Answer("written", crm_id=item.target) for item in inputs}
    for error in objects_in(body.get("errors")) if isinstance(body, Mapping) else ():
        answers |= {index: Answer("refused", reasons=reasons_of(error)) for index in finder.named_by(error)}
    return answers


class _Finder:
    """Ties the elements of a reply to the inputs of its call."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._by_trace = {item.trace_id: item.index for item in inputs}
        self._by_id = {item.target: item.index for item in inputs if item.target and not item.id_property}
        self._by_value = {
            (item.id_property, item.target.casefold()): item.index
            for item in inputs
            if item.target and item.id_property
        }
        self._unique = {item.id_property for item in inputs if item.id_property}

    def made(self, result: Mapping[str, Any]) -> int | None:
        trace = str(result.get("objectWriteTraceId") or "")
        if trace in self._by_trace:
            return self._by_trace[trace]
        if str(result.get("id")) in self._by_id:
            return self._by_id[str(result.get("id"))]
        properties = result.get("properties")
        return self._by_properties(properties) if isinstance(properties, Mapping) else None

    def named_by(self, error: Mapping[str, Any]) -> list[int]:
        context = error.get("context")
        named = context if isinstance(context, Mapping) else {}
        traces = [self._by_trace[name] for name in _texts(named.get("objectWriteTraceId")) if name in self._by_trace]
        if traces:
            return traces
        ids = [name for key in ("id", "ids") for name in _texts(named.get(key))] + _texts(error.get("id"))
        found = [self._by_id.get(name) for name in ids]
        found += [self._by_value.get((unique, name.casefold())) for unique in self._unique for name in ids]
        return [index for index in found if index is not None]

    def _by_properties(self, properties: Mapping[str, Any]) -> int | None:
        for unique in self._unique:
            value = str(properties.get(unique) or "").casefold()
            if (unique, value) in self._by_value:
                return self._by_value[unique, value]
        return None


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if item is not None]


def in_calls(inputs: Iterable[Input]) -> Iterator[tuple[Input, ...]]:
    """The inputs in groups of at most 100, no target twice in one: HubSpot refuses a call that repeats an id."""
    waiting = list(inputs)
    while waiting:
        taken: dict[object, Input] = {}
        later: list[Input] = []
        for item in waiting:
            key = item.target if item.target is not None else item.index
            if len(taken) < BATCH_SIZE and key not in taken:
                taken[key] = item
            else:
                later.append(item)
        yield tuple(taken.values())
        waiting = later


@dataclass(slots=True)
class BatchWriter:
    """The writes of one push: sends, splits what was refused as a whole, remembers what became of every input.

    Attributes:
        split_budget: Extra calls that splitting may still cost; see `split_budget_for`.
        answers: Index -> its last answer.
        interrupted_by: The error after which nothing more is sent.
    """

    calls: Calls
    crm_object: str
    split_budget: int
    answers: dict[int, Answer] = field(default_factory=dict)
    interrupted_by: CrmError | None = None
    _may_have_written: bool = False

    def write(self, operation: Operation, inputs: Iterable[Input]) -> None:
        """Send the inputs in calls of at most 100; after it `answers` holds every one of them.

        Raises:
            LeaseLost: always.
            CrmError: a run-level error before anything can have been written; later ones are kept in `interrupted_by`.
        """
        for group in in_calls(inputs):
            self._settle(operation, group, is_first=True)

    def interrupt(self, error: CrmError, inputs: Iterable[Input]) -> None:
        """Stop after a read between two writes failed; the inputs that waited for it are `not_sent`."""
        self.interrupted_by = self.interrupted_by or error
        self._mark(list(inputs), Answer("not_sent", error=self.interrupted_by))

    def _settle(
        self, operation: Operation, group: Sequence[Input], *, is_first: bool = False, is_guilty: bool = False
    ) -> bool:
        """Write a group, halving it as long as HubSpot refuses it whole; True when it was refused.

        Args:
            operation: The batch operation.
            group: The inputs.
            is_first: The call is not an extra one.
            is_guilty: A refused group whose other half went through: it holds the offender, so it is halved unsent.
        """
        if self.interrupted_by is not None:
            self._mark(group, Answer("not_sent", error=self.interrupted_by))
            return False
        if not is_guilty or len(group) == 1:
            if not is_first and not self._spend():
                self._mark(group, Answer("split_budget_spent"))
                return False
            refused = self._send(operation, group)
            if refused is None:
                return False
            if len(group) == 1 or not refused.may_split:
                return True
        middle = len(group) // 2
        first_refused = self._settle(operation, group[:middle])
        self._settle(operation, group[middle:], is_guilty=not first_refused)
        return True

    def _send(self, operation: Operation, group: Sequence[Input]) -> CallRefused | None:
        """One call; its refusal as a whole is each input's answer until a smaller call gives a better one."""
        path = self.calls.objects_path(self.crm_object, f"/batch/{operation}")
        try:
            reply = self.calls.send("POST", path, json={"inputs": [item.to_wire(operation) for item in group]})
            refused = self._read(reply, operation, group, f"POST {path}")
        except LeaseLost:
            raise
        except CrmError as error:
            if not self._may_have_written and not _may_have_arrived(error):
                raise
            self.interrupted_by = error
            self._mark(group, Answer("interrupted", error=error))
            return None
        return refused

    def _read(self, reply: Reply, operation: Operation, group: Sequence[Input], what: str) -> CallRefused | None:
        if 200 <= reply.status < 300:  # noqa: PLR2004
            self._may_have_written = True
            if operation == "archive":
                self.answers.update(reconcile_archive(group, reply.json()))
            else:
                self.answers.update(reconcile(group, json_object(reply, what)))
            return None
        error = error_of(reply, what=what)
        if not isinstance(error, CallRefused):
            raise error
        self._mark(group, Answer("refused", reasons=reasons_of(reply.json())))
        return error

    def _spend(self) -> bool:
        self.split_budget -= 1
        return self.split_budget >= 0

    def _mark(self, group: Sequence[Input], answer: Answer) -> None:
        self.answers.update({item.index: answer for item in group})


def _may_have_arrived(error: CrmError) -> bool:
    return isinstance(error, CrmUnavailable) and error.may_have_arrived


def split_budget_for(record_count: int) -> int:
    """Extra calls that one push may spend on splitting: 2 * ceil(log2 n) + 8."""
    return 2 * math.ceil(math.log2(max(record_count, 2))) + 8

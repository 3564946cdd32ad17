"""Mapped values against the org's own fields: what fits is spelled as Salesforce takes it, the rest gives its reason.

Pure.
"""

from collections.abc import Mapping

from crm.adapters.salesforce.field_plan import Address, FieldPlan
from crm.adapters.salesforce.state_codes import state_name
from crm.adapters.salesforce.values import Unfit
from crm.mapping import MappedRecord
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue


class CheckedValues:
    """The values of one record as they pass the checks. The first value of a field counts.

    Attributes:
        values: Salesforce field -> JSON value; null empties the field.
        morket_field_of: Salesforce field -> the Morket field that it came from.
    """

    __slots__ = ("_mapped", "_plan", "errors", "morket_field_of", "values", "warnings")

    def __init__(self, mapped: MappedRecord, plan: FieldPlan) -> None:
        self._mapped = mapped
        self._plan = plan
        self.values: dict[str, FieldValue] = {}
        self.morket_field_of = plan.canonical_sources(mapped.morket_field_of)
        self.errors: list[Failure] = []
        self.warnings: list[OutcomeWarning] = []

    def add_all(self, values: Mapping[str, FieldValue]) -> None:
        """Take each value, a warning instead of it, or an error."""
        if self._plan.is_straight and not self.values:
            self._add_straight(values)
            return
        targets, taken = self._plan.targets, self.values
        for mapped_name, value in values.items():
            name, convert, is_shared = targets[mapped_name]
            if convert is None:
                self._leave_out(mapped_name)
                continue
            if is_shared:
                if name in taken:
                    continue
                self._attribute(name, self._mapped.morket_field_of[mapped_name])
            try:
                taken[name] = convert(value)
            except Unfit as unfit:
                self._refuse(mapped_name, unfit)

    def _add_straight(self, values: Mapping[str, FieldValue]) -> None:
        """The same for a plan without detours, as nearly all are: texts that fit stay as they were copied."""
        targets, longest_text = self._plan.targets, self._plan.longest_text
        taken = self.values = dict(values)
        for name, value in values.items():
            if isinstance(value, str) and len(value) <= longest_text[name]:
                continue
            convert = targets[name].convert
            try:
                if convert is not None:
                    taken[name] = convert(value)
            except Unfit as unfit:
                del taken[name]
                self._refuse(name, unfit)

    def clear(self, mapped_name: str) -> None:
        """Take a field to empty; a related record's field empties the reference to it."""
        name, convert, _is_shared = self._plan.targets[mapped_name]
        if convert is None:
            self._leave_out(mapped_name)
            return
        target = self._plan.fields.reference_of.get(name, name)
        self.values.setdefault(target, None)
        if target not in self.morket_field_of:
            self._attribute(target, self.morket_field_of[name])

    def settle(self) -> None:
        """Bring values that depend on each other into the form that Salesforce takes; after the last `add_all`."""
        for address in self._plan.addresses:
            _spell_out(self.values, address)
        for path, reference in self._plan.fields.reference_of.items():
            # Salesforce refuses a record that says twice what it refers to; its own id is the surer one.
            if path in self.values and self.values.get(reference) is not None:
                del self.values[path]

    def _attribute(self, name: str, morket_field: str) -> None:
        # Nearly every record leaves the plan's own dict as it is, so that all can share it.
        self.morket_field_of = {**self.morket_field_of, name: morket_field}

    def _refuse(self, mapped_name: str, unfit: Unfit) -> None:
        failure = Failure(
            code=unfit.code,
            category=FailureCategory.BAD_DATA,
            message=str(unfit),
            hint=unfit.hint,
            field=self._mapped.morket_field_of.get(mapped_name),
            crm_field=self._plan.targets[mapped_name].name,
        )
        self.errors.append(failure)

    def _leave_out(self, mapped_name: str) -> None:
        fields = self._plan.fields
        known = fields.find(mapped_name)
        code, why = ("unknown_field", "does not exist in") if known is None else ("read_only_field", "is read-only in")
        message = f"{mapped_name} {why} {fields.name} or is hidden from the connected user; it was left out"
        if known is not None and known.name in fields.reference_of:
            message = f"{mapped_name} is no external id, so no record can be referred to by it; it was left out"
        field = self._mapped.morket_field_of.get(mapped_name)
        self.warnings.append(OutcomeWarning(code=code, field=field, crm_field=mapped_name, message=message))


def _spell_out(values: dict[str, FieldValue], address: Address) -> None:
    """Put names for codes in an org whose states and countries are picklists: its State and Country take names only.

    Source: help.salesforce.com, "State and Country/Territory Picklists".
    """
    country, state = values.get(address.country_field), values.get(address.state_field)
    code = None
    if isinstance(country, str):
        code, values[address.country_field] = address.countries.get(country.casefold(), (None, country))
    if isinstance(state, str):
        values[address.state_field] = state_name(address.states, state, code)

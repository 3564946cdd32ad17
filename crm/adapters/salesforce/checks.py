"""Mapped values against the org's own fields: what fits is spelled as Salesforce takes it, the rest gives its reason.

Pure.
"""

from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.state_codes import state_name
from crm.adapters.salesforce.values import Unfit, to_wire
from crm.mapping import MappedRecord
from crm.model import FieldDescription
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue

_STATE_CODE, _COUNTRY_CODE = "StateCode", "CountryCode"


class CheckedValues:
    """The values of one record as they pass the checks. The first value of a field counts.

    Attributes:
        values: Salesforce field -> JSON value; null empties the field.
        morket_field_of: Salesforce field -> the Morket field that it came from.
    """

    def __init__(self, mapped: MappedRecord, fields: ObjectFields) -> None:
        self._mapped = mapped
        self._fields = fields
        self.values: dict[str, FieldValue] = {}
        self.morket_field_of: dict[str, str] = {}
        for name, morket_field in mapped.morket_field_of.items():
            self.morket_field_of.setdefault(self.canonical(name), morket_field)
        self.errors: list[Failure] = []
        self.warnings: list[OutcomeWarning] = []

    def canonical(self, name: str) -> str:
        """A field's name as the org spells it."""
        known = self._fields.find(name)
        return known.name if known else name

    def add(self, name: str, value: FieldValue) -> None:
        """Take a value, a warning instead of it, or an error."""
        known = self._writable(name)
        if known is None or known.name in self.values:
            return
        self.morket_field_of[known.name] = self._mapped.morket_field_of[name]
        try:
            self.values[known.name] = to_wire(known, value)
        except Unfit as unfit:
            failure = Failure(
                code=unfit.code,
                category=FailureCategory.BAD_DATA,
                message=str(unfit),
                hint=unfit.hint,
                field=self._mapped.morket_field_of.get(name),
                crm_field=known.name,
            )
            self.errors.append(failure)

    def clear(self, name: str) -> None:
        """Take a field to empty; a related record's field empties the reference to it."""
        known = self._writable(name)
        if known is not None:
            target = self._fields.reference_of.get(known.name, known.name)
            self.values.setdefault(target, None)
            self.morket_field_of.setdefault(target, self.morket_field_of[known.name])

    def settle(self) -> None:
        """Bring values that depend on each other into the form that Salesforce takes; after the last `add`."""
        _spell_out_addresses(self.values, self._fields)
        for path, reference in self._fields.reference_of.items():
            # Salesforce refuses a record that says twice what it refers to; its own id is the surer one.
            if path in self.values and self.values.get(reference) is not None:
                del self.values[path]

    def _writable(self, name: str) -> FieldDescription | None:
        known = self._fields.find(name)
        if known is not None and (known.createable or known.updateable):
            return known
        code, why = ("unknown_field", "does not exist in") if known is None else ("read_only_field", "is read-only in")
        message = f"{name} {why} {self._fields.name} or is hidden from the connected user; it was left out"
        if known is not None and known.name in self._fields.reference_of:
            message = f"{name} is no external id, so no record can be referred to by it; it was left out"
        field = self._mapped.morket_field_of.get(name)
        self.warnings.append(OutcomeWarning(code=code, field=field, crm_field=name, message=message))
        return None


def _spell_out_addresses(values: dict[str, FieldValue], fields: ObjectFields) -> None:
    """Put names for codes in an org whose states and countries are picklists: its State and Country take names only.

    Source: help.salesforce.com, "State and Country/Territory Picklists".
    """
    prefixes = [name.removesuffix("Country") for name in values if name.endswith("Country")]
    prefixes += [name.removesuffix("State") for name in values if name.endswith("State")]
    for prefix in dict.fromkeys(prefixes):
        codes = fields.find(prefix + _COUNTRY_CODE)
        options = codes.options if codes is not None else ()
        country, state = values.get(f"{prefix}Country"), values.get(f"{prefix}State")
        code = None
        if isinstance(country, str):
            names = {spelling.casefold(): pair for pair in options for spelling in pair}
            code, values[f"{prefix}Country"] = names.get(country.casefold(), (None, country))
        if isinstance(state, str):
            values[f"{prefix}State"] = state_name(fields.states.get(prefix + _STATE_CODE, ()), state, code)

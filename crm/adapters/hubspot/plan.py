"""What each record of a push needs: nothing, an outcome at once, or one write. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crm.adapters.hubspot.batch import Input, Operation
from crm.adapters.hubspot.drafts import Draft, Shape, missing_for_create, properties_for_create
from crm.adapters.hubspot.search import Found
from crm.adapters.hubspot.values import is_same
from crm.adapters.outcome import failed, own_failure, skipped, succeeded
from crm.model import RecordOutcome
from crm.write_policy import allowed_on_update, may_skip_look_up, needs_current_values
from schemas.command import PushMode
from schemas.result import OutcomeWarning

_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One write to make for a draft."""

    operation: Operation
    item: Draft
    input: Input


def first_step(item: Draft, shape: Shape, mode: PushMode) -> Step | RecordOutcome | None:
    """What a draft needs before anything is read; None when the CRM must be asked first."""
    if item.errors:
        return broken(item)
    if item.crm_id:
        return _known_step(item, item.crm_id) if mode != "create" else None
    if item.match_value is None:
        return create_step(item, shape) if mode == "create" else without_key(item, shape)
    # Defaults are for new records only, and an upsert does not tell beforehand which are new.
    is_blind = shape.rule is not None and shape.rule.is_unique and not item.defaults and may_skip_look_up(item.policies)
    return _upsert(item, shape.rule.crm_property) if mode == "upsert" and shape.rule and is_blind else None


def _known_step(item: Draft, crm_id: str) -> Step | None:
    """The update of a record whose id was given; None where reading must come first."""
    # What is no HubSpot id may fail the whole call; with nothing to write, only reading tells whether it is there.
    if not crm_id.isdecimal() or needs_current_values(item.policies):
        return None
    properties, _kept = allowed_on_update(item.properties, item.policies, {})
    return _update(item, crm_id, properties) if properties else None


def without_key(item: Draft, shape: Shape) -> RecordOutcome:
    """The outcome of a record that nothing can find."""
    name = shape.rule.morket_field if shape.rule else "crm_id"
    missing = own_failure("no_match_value", f"the record has no {name} to be matched by", field=name)
    return failed(item, missing, warnings=item.warnings)


def next_step(item: Draft, found: Sequence[Found], shape: Shape, mode: PushMode) -> Step | RecordOutcome:
    """What a draft needs now that the records it stands for are known."""
    if len(found) > 1:
        return several_matches(item, found, shape.crm_object)
    if not found:
        return _without_match(item, shape, mode)
    record = found[0]
    if mode == "create":
        return already_exists(item, record.crm_id)
    properties, kept = allowed_on_update(item.properties, item.policies, record.properties)
    noted = replace(item, warnings=(*item.warnings, *_kept_values(item, kept, record, shape)))
    if is_same(properties, record.properties, shape.fields):
        return unchanged(noted, record.crm_id)
    return _update(noted, record.crm_id, properties)


def several_matches(item: Draft, found: Sequence[Found], crm_object: str) -> RecordOutcome:
    """The failure that names the records which share a key."""
    names = ", ".join(record.crm_id for record in found[:_MAX_NAMED])
    message = f"{len(found)} records of {crm_object} match {item.match_value}: {names}"
    return failed(item, own_failure("several_matches", message), match_value=item.match_value)


def _kept_values(item: Draft, kept: Sequence[str], record: Found, shape: Shape) -> list[OutcomeWarning]:
    """A warning for each value that a person typed and that was therefore not replaced by another."""
    return [
        OutcomeWarning(
            code="kept_existing_value",
            field=item.morket_field_of.get(name),
            crm_field=name,
            message=f"{shape.fields[name].label if name in shape.fields else name} was filled already and was kept",
        )
        for name in kept
        if item.policies.get(name) == "fill_if_empty"
        and not is_same({name: item.properties[name]}, record.properties, shape.fields)
    ]


def _without_match(item: Draft, shape: Shape, mode: PushMode) -> Step | RecordOutcome:
    if item.crm_id:
        gone = own_failure("record_gone", f"HubSpot has no record {item.crm_id} in {shape.crm_object}")
        return failed(item, gone, crm_id=item.crm_id, warnings=item.warnings)
    if mode == "update":
        message = f"HubSpot has no record in {shape.crm_object} that matches {item.match_value}"
        return failed(item, own_failure("not_found", message), warnings=item.warnings, match_value=item.match_value)
    return create_step(item, shape)


def create_step(item: Draft, shape: Shape) -> Step | RecordOutcome:
    """The create of a draft, or why HubSpot would not take it."""
    properties = properties_for_create(item, shape.rule)
    missing = missing_for_create(properties, shape.crm_object)
    if missing is not None:
        return broken(replace(item, errors=(missing,)))
    inline = tuple(wish.to_wire() for wish in item.associations)
    return Step("create", item, Input(item.index, properties, associations=inline))


def _update(item: Draft, crm_id: str, properties: dict[str, str]) -> Step:
    return Step("update", item, Input(item.index, properties, target=crm_id))


def update_of_existing(item: Draft, crm_id: str) -> Step:
    """The update of a record that stood in a create's way, where no policy asks what it holds."""
    return _update(item, crm_id, dict(item.properties))


def _upsert(item: Draft, name: str) -> Step:
    # The unique value stands in the properties too: HubSpot takes no partial upsert by e-mail.
    properties = {**item.properties, name: item.properties.get(name) or str(item.match_value)}
    return Step("upsert", item, Input(item.index, properties, target=properties[name], id_property=name))


def broken(item: Draft) -> RecordOutcome:
    """The outcome of a record that cannot be sent."""
    return failed(item, *item.errors, crm_id=item.crm_id, warnings=item.warnings, match_value=item.match_value)


def unchanged(item: Draft, crm_id: str) -> RecordOutcome:
    """The outcome of a record that is as it should be."""
    return succeeded(item, "unchanged", crm_id=crm_id, warnings=item.warnings, match_value=item.match_value)


def already_exists(item: Draft, crm_id: str | None) -> RecordOutcome:
    """The outcome of a create of what is there."""
    message = f"HubSpot has this record already: {crm_id}"
    return skipped(item, "already_exists", message, crm_id=crm_id, match_value=item.match_value)

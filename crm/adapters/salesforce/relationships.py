"""Fields of related records: a Contact's company named by the Account's external id instead of Salesforce's own id.

A mapping onto `Account.Morket_Id__c` is sent as `{"Account": {"Morket_Id__c": "..."}}`, and Salesforce finds it.
Source: REST API Developer Guide, "Insert or Update (Upsert) a Record Using an External ID", relationships.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from crm.adapters.salesforce.describe import ObjectFields, Relationship
from crm.adapters.salesforce.soql import is_identifier
from crm.errors import CommandRefused
from crm.model import FieldDescription
from schemas.values import FieldValue


def with_related(
    fields: ObjectFields, crm_names: Iterable[str], describe: Callable[[str], ObjectFields]
) -> ObjectFields:
    """`fields` and the fields of related records among `crm_names`, each under its path.

    They can be read, and written where they are external ids of an object that the reference alone can mean. What does
    not exist is left out, as any field that the org does not have.

    Args:
        fields: Of the object that is pushed or pulled.
        crm_names: Names of fields; those with a point are paths.
        describe: Gives the fields of another object.
    """
    paths = {name.lower(): name for name in crm_names if "." in name}
    found = {key: related for key, path in paths.items() if (related := _related(fields, path, describe)) is not None}
    if not found:
        return fields
    return replace(
        fields,
        by_name={**fields.by_name, **{key: field for key, (field, _) in found.items()}},
        reference_of={field.name: relationship.reference_field for field, relationship in found.values()},
    )


def as_json(values: Mapping[str, FieldValue], fields: ObjectFields) -> dict[str, Any]:
    """The body of a record: paths become objects of their own."""
    body: dict[str, Any] = {}
    for name, value in values.items():
        if name in fields.reference_of:
            relationship, key = name.split(".")
            body[relationship] = {key: value}
        else:
            body[name] = value
    return body


def _related(
    fields: ObjectFields, path: str, describe: Callable[[str], ObjectFields]
) -> tuple[FieldDescription, Relationship] | None:
    first, key = path.split(".", 1)
    relationship = fields.relationships.get(first.lower())
    if relationship is None or not is_identifier(key):
        return None
    try:
        target = describe(relationship.target).find(key)
    except CommandRefused:
        return None
    reference = fields.find(relationship.reference_field)
    if target is None or reference is None:
        return None
    return _under_path(target, reference, relationship), relationship


def _under_path(target: FieldDescription, reference: FieldDescription, relationship: Relationship) -> FieldDescription:
    return replace(
        target,
        name=f"{relationship.name}.{target.name}",
        label=f"{reference.label}, {target.label}",
        required=False,
        unique=False,
        external_id=False,
        createable=reference.createable and target.external_id,
        updateable=reference.updateable and target.external_id,
    )

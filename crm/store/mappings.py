"""A workspace's own field mappings: overrides of, and additions to, the adapter's defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, delete, insert, select

from crm.model import FieldMapping
from crm.store.tables import integration_field_mappings as mappings

#: The `entity` of a mapping that holds for every object.
EVERY_ENTITY: Final = "*"


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """A field mapping and the entity (`person`, `company`, a CRM object, or `*`) that it holds for.

    `mapping.fallback` is a property of defaults only: it is not stored and reads as False.
    """

    entity: str
    mapping: FieldMapping


def list_of(connection: Connection, workspace_id: UUID, slug: str) -> Sequence[StoredMapping]:
    """The mappings of one integration, by entity and Morket field."""
    query = (
        select(mappings)
        .where(mappings.c.workspace_id == workspace_id, mappings.c.integration_slug == slug)
        .order_by(mappings.c.entity, mappings.c.morket_field)
    )
    return [_stored(row) for row in connection.execute(query)]


def replace(connection: Connection, workspace_id: UUID, slug: str, new: Sequence[StoredMapping]) -> None:
    """Put `new` in the place of all mappings of one integration, within the caller's transaction.

    Raises:
        sqlalchemy.exc.IntegrityError: a Morket field stands twice for one entity, or the workspace is unknown.
    """
    connection.execute(
        delete(mappings).where(mappings.c.workspace_id == workspace_id, mappings.c.integration_slug == slug)
    )
    if new:
        connection.execute(insert(mappings), [_row(workspace_id, slug, stored) for stored in new])


def _row(workspace_id: UUID, slug: str, stored: StoredMapping) -> dict[str, Any]:
    mapping = stored.mapping
    return {
        "workspace_id": workspace_id,
        "integration_slug": slug,
        "entity": stored.entity,
        "morket_field": mapping.morket_field,
        "crm_field": mapping.crm_field,
        "direction": mapping.direction,
        "write_policy": mapping.write_policy,
        "identifier": mapping.identifier,
        "value_map": dict(mapping.value_map),
        "default_value": mapping.default_value,
    }


def _stored(row: Row[Any]) -> StoredMapping:
    mapping = FieldMapping(
        morket_field=row.morket_field,
        crm_field=row.crm_field,
        direction=row.direction,
        write_policy=row.write_policy,
        identifier=row.identifier,
        value_map=row.value_map,
        default_value=row.default_value,
    )
    return StoredMapping(row.entity, mapping)

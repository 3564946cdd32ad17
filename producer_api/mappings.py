"""Field mappings of a workspace: what holds for an entity, and where it comes from; its own can be replaced."""

from collections.abc import Sequence
from typing import Annotated, Any

import falcon
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from crm.adapters.contract import CrmAdapter
from crm.errors import CrmError
from crm.model import FieldMapping, MappingDirection
from crm.store import connections, mappings
from crm.store.mappings import EVERY_ENTITY, StoredMapping
from producer_api.bodies import optional_model
from producer_api.parts import Parts, problem_of
from producer_api.problems import FieldProblem, Problem
from producer_api.scopes import Scope
from schemas.command import WritePolicy
from schemas.values import EntityName, MorketField

# One step of a relationship is allowed: `Account.Morket_Id__c` (Salesforce), `associations.companies` (HubSpot).
CrmField = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?$", max_length=100)
]
# PostgreSQL cannot store NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1_000)]
_ENTITY: TypeAdapter[str] = TypeAdapter(EntityName)


class MappingBody(BaseModel):
    """One override."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    morket_field: MorketField
    crm_field: CrmField
    direction: MappingDirection = "both"
    write_policy: WritePolicy | None = None
    identifier: bool = False
    value_map: Annotated[dict[Text, Text], Field(max_length=500)] = {}
    default_value: Text | None = None

    def as_mapping(self) -> FieldMapping:
        """The mapping as the inside knows it."""
        return FieldMapping(**self.model_dump())


class MappingsBody(BaseModel):
    """All overrides of one entity; an empty list goes back to the defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    overrides: Annotated[list[MappingBody], Field(max_length=200)]


class Mappings:
    """`…/integrations/{slug}/mappings?entity=person`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """The mappings that hold for an entity; each says whether it is a default or the workspace's own."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        adapter, entity = self._adapter(slug), _entity(req)
        with self._parts.engine.connect() as connection:
            found = connections.get(connection, workspace, slug)
            stored = mappings.list_of(connection, workspace, slug)
        resp.media = _shown(adapter, entity, found.settings if found else {}, stored)

    def on_put(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """Replace the workspace's own mappings of one entity; those of other entities stay."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_WRITE)
        adapter, entity = self._adapter(slug), _entity(req)
        overrides = optional_model(req, MappingsBody).overrides
        _check(overrides)
        with self._parts.engine.begin() as connection:
            # Locked, so that two people who change two entities at once do not undo each other.
            found = connections.get(connection, workspace, slug, lock=True)
            kept = [
                row for row in mappings.list_of(connection, workspace, slug) if row.entity.lower() != entity.lower()
            ]
            stored = [*kept, *(StoredMapping(entity, override.as_mapping()) for override in overrides)]
            settings = found.settings if found else {}
            _check_targets(overrides, *_effective(adapter, entity, settings, stored)[1:])
            mappings.replace(connection, workspace, slug, stored)
        resp.media = _shown(adapter, entity, settings, stored)

    def _adapter(self, slug: str) -> CrmAdapter:
        self._parts.listed(slug)
        try:
            return self._parts.registry.get(slug)
        except CrmError as error:
            raise problem_of(error) from None


def _entity(req: falcon.Request) -> str:
    try:
        return _ENTITY.validate_python(req.get_param("entity") or "person")
    except ValidationError:
        message = "must be person, company, or the CRM's own object name"
        raise _invalid([FieldProblem("entity", message, "correct the query parameter")]) from None


def _check(overrides: Sequence[MappingBody]) -> None:
    found = []
    seen: set[str] = set()
    has_identifier = False
    for index, row in enumerate(overrides):
        if row.morket_field in seen:
            field = f"overrides[{index}].morket_field"
            found.append(FieldProblem(field, f"{row.morket_field} is mapped twice", "leave one of the two out"))
        if row.identifier and has_identifier:
            field = f"overrides[{index}].identifier"
            found.append(FieldProblem(field, "another field is the identifier already", "mark one field only"))
        seen.add(row.morket_field)
        has_identifier = has_identifier or row.identifier
    if found:
        raise _invalid(found)


def _invalid(fields: Sequence[FieldProblem]) -> Problem:
    return Problem(422, "invalid_request", "the mappings cannot be used as they are", fields=fields)


def _check_targets(
    overrides: Sequence[MappingBody], own: Sequence[FieldMapping], defaults: Sequence[FieldMapping]
) -> None:
    """Refuse two mappings that would write one CRM field: which of them came last would decide what it holds."""
    pushed = [row for row in (*own, *defaults) if row.direction != "pull" and not row.fallback]
    found = []
    for index, row in enumerate(overrides):
        rivals = [one for one in pushed if one.crm_field.casefold() == row.crm_field.casefold()]
        other = next((one.morket_field for one in rivals if one.morket_field != row.morket_field), None)
        if other is not None and row.direction != "pull":
            message = f"{row.crm_field} is written from {other} already"
            hint = f"leave one of the two out, or map {other} with the direction pull"
            found.append(FieldProblem(f"overrides[{index}].crm_field", message, hint))
    if found:
        raise _invalid(found)


def _effective(
    adapter: CrmAdapter, entity: str, settings: Any, stored: Sequence[StoredMapping]
) -> tuple[str, list[FieldMapping], list[FieldMapping]]:
    """The CRM object, the workspace's own mappings that hold for it, and the defaults that they leave."""
    try:
        crm_object = adapter.resolve_object(entity, settings)
    except CrmError as error:
        raise problem_of(error) from None
    own: dict[str, FieldMapping] = {}
    # As for a sync: what was said for this object comes before what was said for every object.
    for scope in (EVERY_ENTITY, entity.lower(), crm_object.lower()):
        own |= {row.mapping.morket_field: row.mapping for row in stored if row.entity.lower() == scope}
    defaults = [row for row in adapter.default_mappings(crm_object) if row.morket_field not in own]
    return crm_object, list(own.values()), defaults


def _shown(adapter: CrmAdapter, entity: str, settings: Any, stored: Sequence[StoredMapping]) -> dict[str, Any]:
    crm_object, own, defaults = _effective(adapter, entity, settings, stored)
    rows = [_row(row, "workspace") for row in own] + [_row(row, "default") for row in defaults]
    return {"integration": adapter.slug, "entity": entity, "crm_object": crm_object, "mappings": rows}


def _row(row: FieldMapping, source: str) -> dict[str, Any]:
    return {
        "morket_field": row.morket_field,
        "crm_field": row.crm_field,
        "direction": row.direction,
        "write_policy": row.write_policy,
        "identifier": row.identifier,
        "fallback": row.fallback,
        "value_map": dict(row.value_map),
        "default_value": row.default_value,
        "source": source,
    }

"""A record on its way to Salesforce: what an org's own fields make of it."""

import pytest

from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.drafts import (
    Draft,
    body_for_create,
    body_for_upsert,
    change_for,
    draft,
    missing_on_create,
    needs_held,
)
from crm.adapters.salesforce.field_plan import FieldPlan
from crm.mapping_plan import MappingPlan
from crm.model import CrmRecord, FieldDescription, FieldMapping
from schemas.command import WritePolicy


def fields(*known: FieldDescription) -> ObjectFields:
    return ObjectFields("Lead", {one.name.lower(): one for one in known})


def drafted(
    record: CrmRecord, mappings: list[FieldMapping], known: ObjectFields, write_policy: WritePolicy | None = None
) -> Draft:
    return draft(record, FieldPlan.of(MappingPlan.of(mappings, write_policy=write_policy), known), None)


def text(name: str, *, required: bool = False, createable: bool = True, updateable: bool = True) -> FieldDescription:
    return FieldDescription(
        name=name, label=name, kind="string", required=required, createable=createable, updateable=updateable
    )


COUNTRY_CODES = FieldDescription(
    name="CountryCode", label="Country Code", kind="picklist", options=(("DE", "Germany"), ("FR", "France"))
)


@pytest.mark.parametrize(("given", "sent"), [("DE", "Germany"), ("germany", "Germany"), ("Atlantis", "Atlantis")])
def test_a_country_code_becomes_its_name_where_countries_are_a_picklist(given: str, sent: str) -> None:
    """Such an org takes names in Country; what it does not know is left for it to refuse."""
    # When
    item = drafted(
        CrmRecord({"country": given}),
        [FieldMapping("country", "Country")],
        fields(text("Country"), COUNTRY_CODES),
    )

    # Then
    assert item.values == {"Country": sent}


def test_without_picklists_a_country_stays_as_it_was_sent() -> None:
    """Free text is free."""
    # When
    item = drafted(CrmRecord({"country": "DE"}), [FieldMapping("country", "country")], fields(text("Country")))

    # Then the org's spelling of the field is used
    assert item.values == {"Country": "DE"}


def test_rights_of_a_field_differ_between_creating_and_updating() -> None:
    """A field that may only be set once is not sent in an update, and the other way round."""
    # Given
    known = fields(text("Once", updateable=False), text("Later", createable=False), text("Both", required=True))
    mappings = [FieldMapping(name.lower(), name) for name in ("Once", "Later", "Both")]

    # When
    item = drafted(CrmRecord({"once": "1", "later": "2"}), mappings, known)

    # Then
    assert (body_for_create(item, known), body_for_upsert(item, known)) == ({"Once": "1"}, {"Later": "2"})
    (missing,) = missing_on_create(item, known)
    assert (missing.code, missing.field, missing.crm_field) == ("required_field_missing", "both", "Both")


def test_the_first_of_two_mappings_onto_one_field_counts() -> None:
    """However its name is spelled; its policy counts too, and a later `clear` empties nothing that is written."""
    # Given
    mappings = [
        FieldMapping("website", "Website", write_policy="fill_if_empty"),
        FieldMapping("blog", "website", write_policy="create_only"),
        FieldMapping("shop", "WEBSITE"),
    ]
    record = CrmRecord({"website": "acme.io", "blog": "blog.acme.io"}, clear=("shop",))

    # When
    item = drafted(record, mappings, fields(text("Website")))

    # Then
    assert (item.values, item.policies) == ({"Website": "acme.io"}, {"Website": "fill_if_empty"})
    assert item.morket_field_of == {"Website": "website"}


def test_a_change_is_what_the_policies_leave() -> None:
    """Kept values are told where they differ; without anything to write there is no change."""
    # Given
    known = fields(text("A"), text("B"), text("C"), text("D"))
    mappings = [FieldMapping(name.lower(), name) for name in "ABCD"]
    record = CrmRecord({"a": "1", "b": "2", "c": "3"}, clear=("d",))
    item = drafted(record, mappings, known, write_policy="fill_if_empty")

    # When
    change = change_for(item, known, {"A": "1", "B": "other", "C": None, "D": "typed"})
    nothing = change_for(item, known, {"A": "1", "B": "2", "C": "3", "D": None})

    # Then
    assert change.body == {"C": "3"}
    assert [(one.field, one.crm_field) for one in change.warnings] == [("b", "B"), ("d", "D")]
    assert (nothing.body, nothing.warnings) == ({}, ())


def test_create_only_is_left_out_without_asking_what_is_held() -> None:
    """It needs no look-up, and nothing is said about it: it was not meant for this record."""
    # Given
    known = fields(text("A"), text("B"))
    mappings = [FieldMapping("a", "A", write_policy="create_only"), FieldMapping("b", "B")]

    # When
    item = drafted(CrmRecord({"a": "1", "b": "2"}), mappings, known)
    change = change_for(item, known, None)

    # Then
    assert not needs_held(item, known)
    assert (change.body, change.warnings) == ({"B": "2"}, ())
    assert body_for_create(item, known) == {"A": "1", "B": "2"}

"""Morket's fields to a CRM's and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.mapping import MappedRecord, crm_fields_to_read, map_record, mappings_for, read_record
from crm.mapping_plan import MappingPlan
from crm.model import CrmRecord, FieldMapping
from crm.names import join_full_name, split_full_name

NAMES = (FieldMapping("first_name", "FirstName"), FieldMapping("last_name", "LastName"))
SITE = (FieldMapping("website", "Website"), FieldMapping("company_domain", "Website", fallback=True))


def mapped(fields: dict[str, Any], *mappings: FieldMapping, clear: tuple[str, ...] = ()) -> MappedRecord:
    return map_record(CrmRecord(fields, index=3, ref="r", clear=clear), MappingPlan.of(mappings))


def test_an_override_replaces_the_defaults_of_its_field_and_may_add_one() -> None:
    """A workspace's mapping comes before the adapter's."""
    # When
    chosen = mappings_for((*NAMES, *SITE), (FieldMapping("website", "Site__c"), FieldMapping("score", "Score__c")))

    # Then
    assert {(one.morket_field, one.crm_field) for one in chosen} == {
        ("first_name", "FirstName"),
        ("last_name", "LastName"),
        ("website", "Site__c"),
        ("company_domain", "Website"),
        ("score", "Score__c"),
    }


@pytest.mark.parametrize("nothing", [None, "", "  \t\u00a0", [], ["", " "]])
def test_no_value_leaves_the_crm_alone(nothing: object) -> None:
    """Null, blank and empty lists are not sent."""
    # When / Then
    assert mapped({"phone": nothing}, FieldMapping("phone", "Phone")).values == {}


@pytest.mark.parametrize(
    ("value", "sent"), [(0, 0), (False, False), (" a ", "a"), (["a ", ""], ["a"]), (1.5, 1.5), ("0", "0")]
)
def test_values_are_trimmed_and_zero_is_a_value(value: object, sent: object) -> None:
    """What is there is sent, without outer blanks."""
    # When / Then
    assert mapped({"phone": value}, FieldMapping("phone", "Phone")).values == {"Phone": sent}


def test_direction_decides_who_reads_and_who_writes() -> None:
    """A pull mapping is never written and no warning; a push mapping is never read."""
    # Given
    mappings = (FieldMapping("score", "Score", "pull"), FieldMapping("note", "Note", "push"))

    # When
    pushed = mapped({"score": 1, "note": "x"}, *mappings)
    pulled = read_record({"Score": 1, "Note": "x"}, mappings)

    # Then
    assert (pushed.values, pushed.warnings, pulled) == ({"Note": "x"}, (), {"score": 1})
    assert crm_fields_to_read(mappings) == ("Score",)


def test_a_fallback_fills_only_what_is_open() -> None:
    """A website wins over a domain; a domain alone is written as website, and read back as a domain."""
    # When / Then
    both = mapped({"company_domain": "acme.io", "website": "https://acme.io/x"}, *SITE)
    alone = mapped({"company_domain": "acme.io"}, *reversed(SITE))
    assert (both.values, both.morket_field_of) == ({"Website": "https://acme.io/x"}, {"Website": "website"})
    assert (alone.values, alone.morket_field_of) == ({"Website": "acme.io"}, {"Website": "company_domain"})
    assert read_record({"Website": "https://www.acme.io/x"}, SITE) == {
        "website": "https://www.acme.io/x",
        "company_domain": "acme.io",
    }
    assert crm_fields_to_read(SITE, ["company_domain"]) == ("Website",)


def test_other_fallbacks_are_not_read() -> None:
    """What stands under a fallback's name may be another field's value."""
    # When / Then
    phones = (FieldMapping("phone", "Phone"), FieldMapping("mobile_phone", "Phone", fallback=True))
    assert read_record({"Phone": "1"}, phones) == {"phone": "1"}


@pytest.mark.parametrize(
    ("full", "parts"),
    [
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("  Ada   King  Lovelace ", ("Ada King", "Lovelace")),
        ("Cher", ("", "Cher")),
        ("Ludwig van Beethoven", ("Ludwig", "van Beethoven")),
        ("María de la Cruz", ("María", "de la Cruz")),
        ("Beethoven, Ludwig van", ("Ludwig van", "Beethoven")),
        ("van Dyck", ("van", "Dyck")),
        ("Ada van", ("Ada", "van")),
        (",", ("", ",")),
        ("", ("", "")),
    ],
)
def test_full_names_are_split(full: str, parts: tuple[str, str]) -> None:
    """One word is a last name; particles begin one."""
    # When / Then
    assert split_full_name(full) == parts


def test_a_known_part_is_taken_out_of_the_full_name() -> None:
    """The other part is what is left."""
    # When / Then
    assert split_full_name("Ada King Lovelace", first="Ada") == ("Ada", "King Lovelace")
    assert split_full_name("Ada King Lovelace", last="King Lovelace") == ("Ada", "King Lovelace")
    assert join_full_name(None, "Cher") == "Cher"
    assert join_full_name("", None) is None


@given(st.text())
def test_splitting_loses_no_letter(full: str) -> None:
    """Whatever a name looks like, its words are all there."""
    # When
    first, last = split_full_name(full)

    # Then
    words = sorted(f"{first} {last}".split())
    assert words == sorted(full.split()) or "," in full


def test_the_full_name_fills_missing_parts_and_is_no_stray() -> None:
    """`full_name` needs no mapping of its own where its parts have one."""
    # When / Then
    assert mapped({"full_name": "Ada Lovelace"}, *NAMES).values == {"FirstName": "Ada", "LastName": "Lovelace"}
    assert mapped({"full_name": "Ada Lovelace", "last_name": "Byron"}, *NAMES).values["LastName"] == "Byron"
    assert mapped({"full_name": "Ada Lovelace"}, *NAMES).warnings == ()
    assert read_record({"FirstName": "Ada", "LastName": None}, NAMES)["full_name"] == "Ada"
    assert crm_fields_to_read(NAMES, ["full_name"]) == ("FirstName", "LastName")


def test_values_are_translated_both_ways() -> None:
    """A value map holds for texts and for each of several; other values pass."""
    # Given
    mapping = FieldMapping("industry", "Industry", value_map={"tech": "Technology", "it": "Technology"})

    # When / Then
    assert mapped({"industry": "tech"}, mapping).values == {"Industry": "Technology"}
    assert mapped({"industry": ["tech", "Other"]}, mapping).values == {"Industry": ["Technology", "Other"]}
    assert read_record({"Industry": "Technology"}, [mapping]) == {"industry": "tech"}
    assert read_record({"Industry": 3}, [mapping]) == {"industry": 3}


def test_defaults_stand_beside_the_values() -> None:
    """A default is for new records where nothing was given; not for a field that is cleared."""
    # Given
    mapping = FieldMapping("company_name", "Company", default_value="[Unknown]")

    # When / Then
    absent = mapped({}, mapping)
    assert (absent.values, absent.values_for_create) == ({}, {"Company": "[Unknown]"})
    assert mapped({"company_name": "Acme"}, mapping).values_for_create == {"Company": "Acme"}
    assert mapped({}, mapping, clear=("company_name",)).defaults == {}


def test_clear_names_crm_fields_and_strays_are_told() -> None:
    """An unmapped name in `clear` is a warning like one in `fields`."""
    # When
    result = mapped({"colour": "teal"}, FieldMapping("phone", "Phone"), clear=("phone", "shade"))

    # Then
    assert (result.clear, result.morket_field_of) == (("Phone",), {"Phone": "phone"})
    assert [warning.field for warning in result.warnings] == ["colour", "shade"]


def test_strict_makes_strays_errors() -> None:
    """`strict` fails the record instead of leaving a field out."""
    # When
    result = map_record(CrmRecord({"colour": "teal"}), MappingPlan.of(NAMES, strict=True))

    # Then
    assert [(error.code, error.field) for error in result.errors] == [("unmapped_field", "colour")]
    assert result.warnings == ()


@pytest.mark.parametrize("value", ["a\x00b", "half \ud83d", ["ok", "\x00"]])
def test_what_nobody_can_store_fails_the_record(value: object) -> None:
    """NUL and lone surrogates are an error that names the field, never a silent change."""
    # When
    result = mapped({"phone": value}, FieldMapping("phone", "Phone"))

    # Then
    assert [(error.code, error.field) for error in result.errors] == [("invalid_value", "phone")]
    assert result.values == {}

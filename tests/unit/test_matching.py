"""How two spellings of one key are made equal, and how records with one key become one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.matching import (
    choose_match_field,
    is_empty,
    kind_of,
    long_id,
    match_value,
    merge_by_key,
    morket_match_field,
    normalise,
)
from crm.model import CrmRecord, FieldMapping


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("acme.io", "acme.io"),
        ("  HTTPS://www.Acme.IO:8443/about?x=1#y ", "acme.io"),
        ("//acme.io/", "acme.io"),
        ("www.acme.io.", "acme.io"),
        ("ada@acme.io", "acme.io"),
        ("http://user:pw@acme.io/", "acme.io"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("fass.example", "fass.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("www.", "www"),
        ("https://", None),
        ("", None),
        (None, None),
        (True, None),
        ("a b ü", "a b ü"),
    ],
)
def test_domains_are_compared_as_hosts(value: object, domain: str | None) -> None:
    """Scheme, www, port, path and letter case do not matter; German ß and ss are two domains."""
    # When / Then
    assert normalise("domain", value) == domain


@given(st.text())
def test_normalising_never_raises_and_is_stable(text: str) -> None:
    """Whatever a publisher sends has a key or none, and a key is its own key."""
    for kind in ("email", "domain", "text", "crm_id"):
        # When
        key = normalise(kind, text)

        # Then
        assert key is None or key.strip()
        if key is not None and kind in ("email", "text"):
            assert normalise(kind, key) == key


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("0015000000Gv7qJ", "0015000000Gv7qJAAR"),
        ("001D000000IqhSL", "001D000000IqhSLIAZ"),
        ("0015000000Gv7qJAAR", "0015000000Gv7qJAAR"),
        ("12345", "12345"),
        ("0015000000Gv7q'", "0015000000Gv7q'"),
    ],
)
def test_salesforce_ids_of_15_characters_become_18(short: str, long: str) -> None:
    """The suffix says which letters are capitals; other ids stay."""
    # When / Then
    assert long_id(short) == long


def test_email_kinds() -> None:
    """E-mail addresses ignore case and outer blanks; unknown fields are texts."""
    # When / Then
    assert normalise("email", " Ada@ACME.io ") == "ada@acme.io"
    assert [kind_of(name) for name in ("email", "work_email", "website", "company_domain", "crm_id", "phone")] == [
        "email",
        "email",
        "domain",
        "domain",
        "crm_id",
        "text",
    ]
    assert normalise("text", 42) == "42"


def test_a_website_stands_in_for_a_missing_domain() -> None:
    """Either of the two says which company it is."""
    # When / Then
    assert match_value(CrmRecord({"website": "https://www.acme.io/x"}), "company_domain") == "acme.io"
    assert match_value(CrmRecord({"company_domain": "acme.io"}), "website") == "acme.io"
    assert match_value(CrmRecord({"company_domain": " ", "website": "b.io"}), "company_domain") == "b.io"
    assert match_value(CrmRecord({"website": "b.io"}), "email") is None


def test_the_match_field_is_the_commands_then_the_mappings_then_the_adapters() -> None:
    """Three places name a match field, in this order."""
    # Given
    mappings = [FieldMapping("email", "Email"), FieldMapping("morket_id", "Morket_Id__c", identifier=True)]

    # When / Then
    assert choose_match_field("phone", mappings, "email") == "phone"
    assert choose_match_field(None, mappings, "email") == "morket_id"
    assert choose_match_field(None, mappings[:1], "email") == "email"
    assert choose_match_field(None, [], None) is None
    assert morket_match_field("crm:MORKET_ID__C", mappings) == "morket_id"
    assert morket_match_field("crm:Other__c", mappings) is None
    assert morket_match_field("email", mappings) == "email"


def merged(*records: CrmRecord) -> tuple[list[CrmRecord], dict[int, int]]:
    return merge_by_key(records, lambda record: record.fields.get("email"))


def test_later_values_win_and_empty_ones_do_not() -> None:
    """Records of one key are merged field by field, in order."""
    # When
    (one, alone), into = merged(
        CrmRecord({"email": "a", "first_name": "Ada", "phone": "1"}, index=0, ref="x"),
        CrmRecord({"first_name": "Nobody"}, index=1),
        CrmRecord({"email": "a", "first_name": " ", "phone": "2", "score": 0}, index=2, crm_id="00Q"),
    )

    # Then
    assert one.fields == {"email": "a", "first_name": "Ada", "phone": "2", "score": 0}
    assert (one.index, one.ref, one.crm_id) == (0, "x", "00Q")
    assert (alone.index, into) == (1, {2: 0})


def test_clear_follows_the_order() -> None:
    """A later clear drops an earlier value; a later value takes an earlier clear back."""
    # When
    (cleared,), _into = merged(
        CrmRecord({"email": "a", "phone": "1"}, index=0), CrmRecord({"email": "a"}, index=1, clear=("phone",))
    )
    (filled,), _into = merged(
        CrmRecord({"email": "a"}, index=0, clear=("phone",)), CrmRecord({"email": "a", "phone": "2"}, index=1)
    )

    # Then
    assert ("phone" in cleared.fields, cleared.clear) == (False, ("phone",))
    assert (filled.fields["phone"], filled.clear) == ("2", ())


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", "", None])), max_size=12))
def test_merging_loses_no_record_and_keeps_the_last_value(rows: list[tuple[str | None, str | None]]) -> None:
    """Each index is merged or stands alone; each key's value is its last one that is not empty."""
    # Given
    records = [CrmRecord({"email": key, "title": value}, index=index) for index, (key, value) in enumerate(rows)]

    # When
    kept, into = merged(*records)

    # Then
    assert sorted([record.index for record in kept] + list(into)) == list(range(len(rows)))
    for record in kept:
        key = record.fields["email"]
        same = [row for row in rows if row[0] == key] if key else [rows[record.index]]
        values = [value for _key, value in same if value]
        assert (record.fields.get("title") or None) == (values[-1] if values else None)


@pytest.mark.parametrize(
    ("value", "empty"),
    [
        (None, True),
        ("", True),
        (" \u00a0", True),
        ([], True),
        ([" "], True),
        (0, False),
        (False, False),
        (["a"], False),
    ],
)
def test_zero_and_false_are_values(value: object, *, empty: bool) -> None:
    """Blank is not zero."""
    # When / Then
    assert is_empty(value) is empty  # type: ignore[arg-type]

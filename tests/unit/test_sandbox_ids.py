"""The sandbox's Salesforce ids are true ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.salesforce.ids import BASE_62, new_id, to_18


def test_the_checksum_is_the_vendors() -> None:
    """The suffix holds one letter for each five characters: bit n is set where character n is upper case."""
    # Given the 15-character id of the vendor's own example
    id_15 = "001A0000006Vm9u"

    # When it is made 18 characters long
    id_18 = to_18(id_15)

    # Then the suffix is the vendor's
    assert id_18 == "001A0000006Vm9uIAC"


@given(st.text(alphabet=BASE_62, min_size=15, max_size=15))
def test_an_18_character_id_ignores_letter_case(id_15: str) -> None:
    """The checksum restores the case of an id that was folded."""
    # Given an id in its long form
    long_form = to_18(id_15)
    assert long_form is not None

    # When its case is lost
    folded = to_18(long_form.lower())

    # Then it is found again
    assert folded == long_form


@pytest.mark.parametrize("text", ["", "001", "001A0000006Vm9", "001A0000006Vm9uIA", "001A0000006Vm9!", "x" * 19])
def test_what_is_no_id_is_refused(text: str) -> None:
    """Neither length nor alphabet is bent."""
    # Given a text that is no id
    # When it is read as one
    read = to_18(text)

    # Then there is none
    assert read is None


def test_ids_of_two_orgs_differ() -> None:
    """The same number in two orgs gives two ids."""
    # Given two orgs
    # When each makes its first lead
    ids = {new_id("00Q", 301, 1), new_id("00Q", 302, 1)}

    # Then the ids differ, and both are 18 characters long
    assert len(ids) == 2
    assert {len(one) for one in ids} == {18}

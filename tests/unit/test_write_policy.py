"""Whether a value may replace what is in the CRM, field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.write_policy import allowed_on_update, effective, may_skip_look_up, needs_current_values
from schemas.command import WritePolicy

POLICIES: list[WritePolicy] = ["overwrite", "fill_if_empty", "create_only"]


@given(st.sampled_from([None, *POLICIES]), st.sampled_from([None, *POLICIES]), st.sampled_from(POLICIES))
def test_the_nearest_policy_holds(
    command: WritePolicy | None, mapping: WritePolicy | None, connection: WritePolicy
) -> None:
    """The command's, else the mapping's, else the connection's."""
    # When
    found = effective(command, mapping, connection)

    # Then
    assert found == next(policy for policy in (command, mapping, connection) if policy is not None)


@pytest.mark.parametrize(
    ("policies", "needs_values", "may_skip"),
    [
        ({}, False, True),
        ({"A": "overwrite"}, False, True),
        ({"A": "overwrite", "B": "create_only"}, False, False),
        ({"A": "overwrite", "B": "fill_if_empty"}, True, False),
    ],
)
def test_what_a_policy_costs(policies: dict[str, WritePolicy], *, needs_values: bool, may_skip: bool) -> None:
    """Only fill_if_empty needs the CRM's values; only overwrite may be written blindly."""
    # When / Then
    assert (needs_current_values(policies), may_skip_look_up(policies)) == (needs_values, may_skip)


@pytest.mark.parametrize(
    ("policy", "current", "is_written"),
    [
        ("overwrite", "held", True),
        ("overwrite", None, True),
        ("create_only", None, False),
        ("create_only", "held", False),
        ("fill_if_empty", None, True),
        ("fill_if_empty", "", True),
        ("fill_if_empty", "  ", True),
        ("fill_if_empty", [], True),
        ("fill_if_empty", "held", False),
        ("fill_if_empty", 0, False),
        ("fill_if_empty", False, False),
        ("fill_if_empty", 0.0, False),
    ],
)
def test_an_update_writes_what_its_policy_allows(policy: WritePolicy, current: object, *, is_written: bool) -> None:
    """Blanks are empty; 0 and false are values that a person may have meant."""
    # When
    values, kept = allowed_on_update({"F": "new"}, {"F": policy}, {"F": current})

    # Then
    assert (values, kept) == (({"F": "new"}, ()) if is_written else ({}, ("F",)))


@given(
    st.dictionaries(st.sampled_from("ABCDE"), st.one_of(st.none(), st.integers(), st.text())),
    st.dictionaries(st.sampled_from("ABCDE"), st.sampled_from(POLICIES)),
    st.dictionaries(st.sampled_from("ABCDE"), st.one_of(st.none(), st.text(), st.booleans())),
)
def test_every_field_is_written_or_kept(
    values: dict[str, object], policies: dict[str, WritePolicy], current: dict[str, object]
) -> None:
    """Nothing is lost and nothing is changed on the way; a clear follows its field's policy."""
    # When
    written, kept = allowed_on_update(values, policies, current)

    # Then
    assert {**{name: values[name] for name in kept}, **written} == values
    assert not set(written) & set(kept)
    assert all(policies.get(name, "overwrite") != "create_only" for name in written)

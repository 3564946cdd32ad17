"""Field mappings over real sockets and a real database."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.api_house import House, served_house


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


def test_mappings_tell_defaults_from_the_workspaces_own(house: House) -> None:
    """An override replaces the default of its Morket field for that entity; an empty list goes back to the defaults."""
    # Given
    before = house.call("GET", "/hubspot/mappings?entity=person").json["mappings"]
    override = {"morket_field": "job_title", "crm_field": "role_title", "direction": "push"}
    # When
    put = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": [override]})
    house.call("PUT", "/hubspot/mappings?entity=company", send={"overrides": []})
    after = house.call("GET", "/hubspot/mappings?entity=person").json["mappings"]
    # Then
    assert put.status == 200, put.text
    own = [row for row in after if row["source"] == "workspace"]
    assert [(row["morket_field"], row["crm_field"], row["direction"]) for row in own] == [
        ("job_title", "role_title", "push")
    ]
    assert len([row for row in after if row["morket_field"] == "job_title"]) == 1
    assert {row["source"] for row in before} == {"default"}
    house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": []})
    assert house.call("GET", "/hubspot/mappings?entity=person").json["mappings"] == before


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ([{"morket_field": "email"}], "overrides[0].crm_field"),
        ([{"morket_field": "e mail", "crm_field": "x"}], "overrides[0].morket_field"),
        ([{"morket_field": "email", "crm_field": "x", "direction": "sideways"}], "overrides[0].direction"),
        ([{"morket_field": "email", "crm_field": "x", "write_policy": "sometimes"}], "overrides[0].write_policy"),
        ([{"morket_field": "email", "crm_field": "x", "default_value": "a\0b"}], "overrides[0].default_value"),
        ([{"morket_field": "email", "crm_field": name} for name in "xy"], "overrides[1].morket_field"),
        (
            [{"morket_field": name, "crm_field": name, "identifier": True} for name in ("email", "phone")],
            "overrides[1].identifier",
        ),
    ],
)
def test_a_wrong_mapping_is_named_and_nothing_changes(house: House, overrides: list[Any], field: str) -> None:
    """422 with the path of each wrong field."""
    # Given
    before = house.call("GET", "/hubspot/mappings").json
    # When
    answer = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": overrides})
    # Then
    assert answer.status == 422
    assert field in [error["field"] for error in answer.json["errors"]]
    assert house.call("GET", "/hubspot/mappings").json == before


@pytest.mark.parametrize(
    ("overrides", "field", "other"),
    [
        ([{"morket_field": name, "crm_field": "nickname"} for name in ("first", "second")], 1, "first"),
        ([{"morket_field": "first", "crm_field": "nickname"}, {"morket_field": "b", "crm_field": "NickName"}], 0, "b"),
        ([{"morket_field": "headline", "crm_field": "jobtitle"}], 0, "job_title"),
    ],
)
def test_two_mappings_that_write_one_crm_field_are_refused(
    house: House, overrides: list[Any], field: int, other: str
) -> None:
    """Two of the workspace's own, or one of them and a default; the problem names the other one. Nothing changes."""
    # Given
    before = house.call("GET", "/hubspot/mappings").json
    # When
    answer = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": overrides})
    # Then
    assert answer.status == 422, answer.text
    problem = next(one for one in answer.json["errors"] if one["field"] == f"overrides[{field}].crm_field")
    assert other in str(problem)
    assert house.call("GET", "/hubspot/mappings").json == before


def test_one_crm_field_may_be_read_twice_and_written_once(house: House) -> None:
    """A mapping with the direction pull writes nothing, so it stands in nobody's way; a write policy is kept."""
    # Given
    overrides = [
        {"morket_field": "headline", "crm_field": "jobtitle", "write_policy": "fill_if_empty"},
        {"morket_field": "job_title", "crm_field": "jobtitle", "direction": "pull"},
    ]
    # When
    answer = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": overrides})
    # Then
    assert answer.status == 200, answer.text
    rows = house.call("GET", "/hubspot/mappings?entity=person").json["mappings"]
    own = {row["morket_field"]: row["write_policy"] for row in rows if row["source"] == "workspace"}
    assert own == {"headline": "fill_if_empty", "job_title": None}


def test_an_unknown_object_is_refused_before_anything_is_saved(house: House) -> None:
    """What could not be shown afterwards is not stored either."""
    # Given
    override = {"morket_field": "job_title", "crm_field": "role_title"}
    # When
    answer = house.call("PUT", "/hubspot/mappings?entity=no_such_thing", send={"overrides": [override]})
    # Then
    assert answer.status == 422
    assert house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": []}).status == 200

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
        ([{"morket_field": "email", "crm_field": "x", "write_policy": "fill_if_empty"}], "overrides[0].write_policy"),
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

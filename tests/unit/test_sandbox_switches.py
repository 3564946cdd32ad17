"""The sandbox's switches: documented, checked, counted down."""

import re

import pytest
from pydantic import ValidationError

from sandbox import switches as module
from sandbox.switches import CrmSwitches, HubspotSwitches, SalesforceSwitches, Switches


def test_the_docstring_names_every_switch_and_no_other() -> None:
    """The table in the module's docstring is the whole truth."""
    # Given the first column of the tables
    documented = set(re.findall(r"^([a-z][a-z0-9_]+) +\S", module.__doc__ or "", re.MULTILINE)) - {"switch"}

    # When it is compared with the models
    known = {*CrmSwitches.model_fields, *SalesforceSwitches.model_fields, *HubspotSwitches.model_fields}

    # Then both are the same
    assert documented == known


@pytest.mark.parametrize("patch", [{"salesforce": {"latncy_ms": 1}}, {"hubspot": {"latency_ms": -1}}, {"zoho": {}}])
def test_an_unknown_switch_or_a_wrong_value_is_refused(patch: dict[str, dict[str, int]]) -> None:
    """A typing mistake never passes silently."""
    # Given the default switches
    switches = Switches()

    # When a wrong change is laid over them
    # Then it is refused
    with pytest.raises(ValidationError):
        switches.merged(patch)


def test_a_change_keeps_the_other_switches() -> None:
    """Only what is named changes."""
    # Given a switch that was changed
    switches = Switches().merged({"salesforce": {"latency_ms": 5}})

    # When another is changed
    changed = switches.merged({"salesforce": {"daily_quota": 7}, "hubspot": {"html_503_next": 2}})

    # Then all three hold
    assert (changed.salesforce.latency_ms, changed.salesforce.daily_quota, changed.hubspot.html_503_next) == (5, 7, 2)


def test_a_next_switch_spoils_as_many_calls_as_it_says() -> None:
    """N spoils N calls; -1 spoils all."""
    # Given a switch for two calls, and one for all
    switches = Switches().merged({"salesforce": {"html_503_next": 2}, "hubspot": {"html_503_next": -1}})

    # When three calls come
    salesforce = [switches.salesforce.take("html_503_next") for _ in range(3)]
    hubspot = [switches.hubspot.take("html_503_next") for _ in range(3)]

    # Then two, and all, are spoiled
    assert salesforce == [True, True, False]
    assert hubspot == [True, True, True]

"""Reading the members that every create and update input has (developer documentation of the objects APIs)."""

from typing import Any

from sandbox.hubspot.errors import validation
from sandbox.switches import HubspotSwitches

_JSON_TOKENS: dict[type, str] = {
    bool: "Boolean value",
    int: "Integer value",
    float: "Floating-point value",
    dict: "Object value",
    list: "Array value",
}


def read_properties(raw: dict[str, Any], switches: HubspotSwitches) -> dict[str, Any]:
    """Return the ``properties`` of an input.

    Raises:
        RefusedError: 400, there are none, or one has a value that is no text.
    """
    properties = raw.get("properties")
    if not isinstance(properties, dict):
        raise validation("Some required fields were not set: [properties]").refusal()
    others = [value for value in properties.values() if not isinstance(value, str)]
    if others and switches.non_text_values == "refuse":
        token = _JSON_TOKENS.get(type(others[0]), "null")
        message = f"Cannot deserialize value of type `java.lang.String` from {token}"
        raise validation(f"Invalid input JSON on line 1, column 1: {message}").refusal()
    return properties


def read_associations(raw: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the ``associations`` of an input, checked for their shape alone.

    Raises:
        RefusedError: 400, one lacks ``to.id`` or ``types``.
    """
    listed = raw.get("associations") or []
    if not isinstance(listed, list) or not all(_is_association(one) for one in listed):
        raise validation("Invalid input JSON on line 1, column 1: associations need to.id and types").refusal()
    return tuple(listed)


def _is_association(raw: Any) -> bool:
    target = raw.get("to") if isinstance(raw, dict) else None
    return isinstance(target, dict) and bool(target.get("id")) and isinstance(raw.get("types"), list)

"""Which records exist, by id and by match value. Source: REST API Developer Guide, resources_query.htm."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from crm.adapters.salesforce import soql
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.drafts import Draft, MatchRule
from crm.adapters.salesforce.values import NUMBERS
from crm.matching import long_id

#: Salesforce field -> what the record holds there; `Id` is always among them.
Row = Mapping[str, Any]

# An update of a converted lead is refused, so it is no match.
_LIVE: Final[Mapping[str, str]] = {"Lead": "IsConverted = false"}
_SEPARATOR: Final = len("%2C%20")
_LEAST: Final = 2000


def by_id(org: Org, crm_object: str, ids: Iterable[str], names: Iterable[str]) -> dict[str, Row]:
    """Id of 18 characters -> record, for the ids that exist."""
    literals = [soql.quote(long_id(crm_id)) for crm_id in dict.fromkeys(ids) if soql.is_record_id(crm_id)]
    found: dict[str, Row] = {}
    for where in _in_lists("Id", literals, names):
        for row in org.query(soql.select(crm_object, ("Id", *names), where=where)):
            found[long_id(str(row.get("Id")))] = row
    return found


def by_value(
    org: Org, fields: ObjectFields, rule: MatchRule, drafts: Sequence[Draft], names: Iterable[str]
) -> dict[str, list[Row]]:
    """Normalised match value -> the records that hold it, for the values of `drafts`.

    SOQL compares texts without regard to case and LIKE finds too much: what comes back is normalised and compared here.
    """
    selected = tuple(dict.fromkeys(("Id", rule.crm_field.name, *names)))
    wanted = {item.match_value for item in drafts if item.match_value}
    folded = {value.casefold(): value for value in wanted}
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for condition in _conditions(rule, drafts, selected):
        live = _LIVE.get(fields.name)
        where = f"{condition} AND {live}" if live and fields.find("IsConverted") else condition
        for row in org.query(soql.select(fields.name, selected, where=where)):
            value = rule.normalise(row.get(rule.crm_field.name))
            key = value if value in wanted else folded.get(value.casefold()) if value else None
            if key is not None:
                found[key][long_id(str(row.get("Id")))] = row
    return {value: list(rows.values()) for value, rows in found.items()}


def _conditions(rule: MatchRule, drafts: Sequence[Draft], selected: Sequence[str]) -> list[str]:
    name = soql.identifier(rule.crm_field.name)
    if rule.kind == "domain":
        spellings = [spelling for item in drafts if item.match_value for spelling in _spellings(item.match_value)]
        terms = [f"{name} LIKE {soql.contains(text)}" for text in dict.fromkeys(spellings)]
        groups = soql.chunks(terms, " OR ", _budget(selected))
        return [f"({' OR '.join(group)})" for group in groups]
    return _in_lists(name, _literals(rule, drafts), selected)


def _literals(rule: MatchRule, drafts: Sequence[Draft]) -> list[str]:
    """The values as they were sent: normalising may have changed a letter that Salesforce would not."""
    raw = [str(item.record.fields.get(rule.morket_field, item.match_value)).strip() for item in drafts]
    if rule.crm_field.kind in NUMBERS:
        return list(dict.fromkeys(literal for text in raw if (literal := soql.number(text)) is not None))
    return list(dict.fromkeys(soql.quote(text) for text in raw))


def _in_lists(name: str, literals: Sequence[str], selected: Iterable[str]) -> list[str]:
    return [
        f"{soql.identifier(name)} IN ({','.join(group)})" for group in soql.chunks(literals, ",", _budget(selected))
    ]


def _budget(selected: Iterable[str]) -> int:
    """What the SELECT list leaves of a query's length."""
    return max(soql.MAX_ENCODED - sum(len(name) + _SEPARATOR for name in selected), _LEAST)


def _spellings(domain: str) -> tuple[str, ...]:
    """The ASCII form, and the one that a person would have typed."""
    try:
        typed = domain.encode("ascii").decode("idna")
    except UnicodeError:
        return (domain,)
    return (domain,) if typed == domain else (domain, typed)

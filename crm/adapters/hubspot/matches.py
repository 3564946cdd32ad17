"""Which records of the CRM the drafts of one command stand for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.hubspot.drafts import Draft, MatchRule
from crm.adapters.hubspot.search import Found, Search
from crm.matching import normalise

# Contacts answer to each of their addresses; only the first stands in `email`.
# https://knowledge.hubspot.com/records/add-multiple-email-addresses-to-a-contact
_OTHER_ADDRESSES: Final = "hs_additional_emails"


@dataclass(frozen=True, slots=True)
class LookUp:
    """Finds the records that drafts stand for, with the properties that would be written.

    Attributes:
        links: Normalised match value -> record id, from earlier pushes. They are believed only when HubSpot still has
            the record; they bridge the seconds until a search finds a new one.
    """

    search: Search
    rule: MatchRule | None
    links: Mapping[str, str]

    def matches(self, drafts: Sequence[Draft]) -> dict[int, list[Found]]:
        """Draft index -> the records that it stands for; none, one or several."""
        if not drafts:
            return {}
        properties = properties_to_read(drafts, self.rule)
        named = [item for item in drafts if item.crm_id]
        keyed = [item for item in drafts if not item.crm_id and item.match_value]
        linked = {item.index: self._link(item) for item in keyed}
        ids = [item.crm_id for item in named if item.crm_id] + [name for name in linked.values() if name]
        by_id = self.search.by_id(ids, properties) if ids else {}
        found = {item.index: _one(by_id.get(item.crm_id or "")) for item in named}
        found |= {item.index: _one(by_id.get(linked[item.index] or "")) for item in keyed}
        return found | self._by_value([item for item in keyed if not found[item.index]], properties)

    def _link(self, item: Draft) -> str | None:
        # A unique property is read directly and without delay, so nothing is gained by believing a link first.
        if self.rule is None or self.rule.is_unique:
            return None
        return self.links.get(item.match_value or "")

    def _by_value(self, drafts: Sequence[Draft], properties: Sequence[str]) -> dict[int, list[Found]]:
        if self.rule is None or not drafts:
            return {}
        values = list(dict.fromkeys(item.match_value for item in drafts if item.match_value))
        name = self.rule.crm_property
        if self.rule.is_unique:
            present = self.search.by_unique(name, values, properties)
        else:
            present = self.search.by_property(name, list(_spellings(self.rule, values)), properties)
        by_value: dict[str, list[Found]] = {}
        for item in present:
            for value in _values_of(item, self.rule):
                by_value.setdefault(value, []).append(item)
        return {item.index: by_value.get(_folded(item.match_value) or "", []) for item in drafts}


def properties_to_read(drafts: Sequence[Draft], rule: MatchRule | None) -> list[str]:
    """The properties that decide about drafts: all that would be written, and those that records answer to."""
    names = {name for item in drafts for name in item.properties}
    if rule:
        names |= {rule.crm_property} | ({_OTHER_ADDRESSES} if rule.kind == "email" else set())
    return sorted(names)


def _one(found: Found | None) -> list[Found]:
    return [found] if found else []


def _folded(value: Any) -> str | None:
    """HubSpot's searches know no case, so neither does the comparison after them."""
    return str(value).casefold() if value else None


def _spellings(rule: MatchRule, values: Iterable[str]) -> Iterable[str]:
    for value in values:
        yield value.lower()
        if rule.kind == "domain":
            # Imports leave `www.` in the domain property; the search compares whole texts.
            yield f"www.{value.lower()}"


def _values_of(item: Found, rule: MatchRule) -> set[str]:
    """Every key that a record answers to, normalised."""
    texts = [item.properties.get(rule.crm_property)]
    if rule.kind == "email":
        texts += str(item.properties.get(_OTHER_ADDRESSES) or "").split(";")
    keys = (_folded(normalise(rule.kind, text)) for text in texts)
    return {key for key in keys if key}

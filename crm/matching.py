"""How records are recognised: match fields, values normalised by their kind, records with one key merged. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import idna

from crm.model import CrmRecord, FieldMapping
from schemas.values import FieldValue

MatchKind = Literal["email", "domain", "crm_id", "text"]

#: Prefix of a match field that names the CRM's own field.
CRM_PREFIX: Final = "crm:"

_DOMAIN_FIELDS: Final = ("company_domain", "website")
_KINDS: Final[Mapping[str, MatchKind]] = {
    "email": "email",
    **dict.fromkeys((*_DOMAIN_FIELDS, "domain", "company_website"), "domain"),
    "crm_id": "crm_id",
}
_SHORT_ID, _ID_CHUNK = 15, 5
_ID_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def kind_of(morket_field: str) -> MatchKind:
    """The kind of value that a Morket field holds; `text` for all that need no normalising of their own."""
    return _KINDS.get(morket_field, "email" if morket_field.endswith("_email") else "text")


def normalise(kind: MatchKind, value: object) -> str | None:
    """The form in which two spellings of one key are equal; None where nothing is left to match by.

    `email`: no outer blanks, case-folded. `domain`: host only, without `www.`, in its ASCII form. `crm_id`: Salesforce
    ids of 15 characters become 18. `text`: no outer blanks.
    """
    text = _plain(value)
    if not text:
        return None
    if kind == "email":
        return text.casefold()
    if kind == "domain":
        return _domain(text)
    return long_id(text) if kind == "crm_id" else text


def long_id(record_id: str) -> str:
    """A Salesforce record id in its 18-character, case-safe form; any other id as it is.

    Source: help.salesforce.com, "15-Character and 18-Character Record IDs".
    """
    if len(record_id) != _SHORT_ID or not (record_id.isascii() and record_id.isalnum()):
        return record_id
    chunks = [record_id[start : start + _ID_CHUNK] for start in range(0, _SHORT_ID, _ID_CHUNK)]
    suffix = [sum(char.isupper() << place for place, char in enumerate(chunk)) for chunk in chunks]
    return record_id + "".join(_ID_SUFFIX[bits] for bits in suffix)


def match_value(record: CrmRecord, match_field: str) -> str | None:
    """The normalised value that `record` is matched by.

    `company_domain` and `website` say the same thing about a company, so each stands in where the other is missing.

    Args:
        record: In Morket's field names.
        match_field: A Morket field; a `crm:` field is resolved by `morket_match_field` before.
    """
    found = normalise(kind_of(match_field), record.fields.get(match_field))
    if found or match_field not in _DOMAIN_FIELDS:
        return found or None
    others = (normalise("domain", record.fields.get(name)) for name in _DOMAIN_FIELDS if name != match_field)
    return next((value for value in others if value), None)


def choose_match_field(match_on: str | None, mappings: Sequence[FieldMapping], default: str | None) -> str | None:
    """The command's match field, else the mapping's identifier, else the adapter's default for the object."""
    if match_on:
        return match_on
    return next((mapping.morket_field for mapping in mappings if mapping.identifier), default)


def morket_match_field(match_field: str, mappings: Sequence[FieldMapping]) -> str | None:
    """The Morket field that carries the values of `match_field`: itself, or for `crm:X` the one that is mapped to X."""
    if not match_field.startswith(CRM_PREFIX):
        return match_field
    crm_field = match_field.removeprefix(CRM_PREFIX).lower()
    sources = (mapping for mapping in mappings if mapping.crm_field.lower() == crm_field)
    return next((mapping.morket_field for mapping in sources), None)


def merge_by_key(
    records: Sequence[CrmRecord], key: Callable[[CrmRecord], object | None]
) -> tuple[list[CrmRecord], dict[int, int]]:
    """Merge records with one key, field by field in order; records without key stay alone.

    Later values win over earlier ones where they are not empty; `clear` follows the order too: it drops an earlier
    value, and a later value takes it back.

    Returns:
        The merged records, each with the index of its first; and for each of the others: its index -> that first index.
    """
    firsts: dict[object, int] = {}
    merged: dict[int, CrmRecord] = {}
    merged_into: dict[int, int] = {}
    for record in records:
        found = key(record)
        first = record.index if found is None else firsts.setdefault(found, record.index)
        if first == record.index:
            merged[first] = record
        else:
            merged[first] = _merge(merged[first], record)
            merged_into[record.index] = first
    return list(merged.values()), merged_into


def is_empty(value: FieldValue) -> bool:
    """True for null, blanks and lists of nothing else; 0 and false are values."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return value is None


def _merge(earlier: CrmRecord, later: CrmRecord) -> CrmRecord:
    given = {name: value for name, value in later.fields.items() if not is_empty(value)}
    kept = {name: value for name, value in earlier.fields.items() if name not in later.clear}
    clear = tuple(name for name in earlier.clear if name not in given)
    return replace(
        earlier,
        fields={**kept, **given},
        clear=clear + tuple(name for name in later.clear if name not in clear),
        crm_id=earlier.crm_id or later.crm_id,
    )


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else ""


def _domain(text: str) -> str | None:
    """The host of a domain, URL or e-mail address; never raises, whatever `text` is."""
    rest = text.split("://", 1)[-1].lstrip("/")
    for separator in "/?#\\":
        rest = rest.split(separator, 1)[0]
    host = rest.rsplit("@", 1)[-1].split(":", 1)[0].strip().rstrip(".")
    name = _ascii(host)
    return name.removeprefix("www.") or None


def _ascii(host: str) -> str:
    """The ASCII form (RFC 5891 with UTS 46 mapping); lower-case only where the host is no domain name."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return host.lower()

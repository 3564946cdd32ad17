"""`record_links`: which CRM record an earlier push found or made for a match value; read before any look-up."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class LinkScope:
    """Links are told apart by connection, CRM account, CRM object and match field."""

    connection_id: UUID
    crm_account_id: str
    crm_object: str
    match_field: str


@dataclass(frozen=True, slots=True)
class RecordLink:
    """A match value (normalised) and the CRM id that stands for it."""

    scope: LinkScope
    match_value: str
    crm_id: str

    @property
    def value_hash(self) -> bytes:
        """What is stored instead of the value, so that no personal data lies here."""
        return hash_of(self.match_value)


def hash_of(match_value: str) -> bytes:
    """SHA-256 of a normalised match value."""
    return sha256(match_value.encode()).digest()


def known(connection: Connection, scope: LinkScope, match_values: Iterable[str]) -> dict[str, str]:
    """Match value -> CRM id, for the values that are linked."""
    by_hash = {hash_of(value): value for value in match_values}
    if not by_hash:
        return {}
    rows = connection.execute(
        text("""
SELECT value_hash, crm_id FROM record_links
 WHERE connection_id = :connection_id AND crm_account_id = :account AND crm_object = :crm_object
   AND match_field = :match_field AND value_hash = ANY(:hashes)"""),
        {
            "connection_id": scope.connection_id,
            "account": scope.crm_account_id,
            "crm_object": scope.crm_object,
            "match_field": scope.match_field,
            "hashes": list(by_hash),
        },
    )
    return {by_hash[bytes(row.value_hash)]: row.crm_id for row in rows}

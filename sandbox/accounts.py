"""The Salesforce orgs and HubSpot portals that exist, and the fields that both share on a consent page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.config import Crm
from sandbox.hubspot.store import Portal, new_portal
from sandbox.salesforce.store import Org, new_org


@dataclass(frozen=True, slots=True)
class AccountCard:
    """What a person, or a test, needs to tell one account from another. Every id is text."""

    account_id: str
    name: str
    user_id: str
    user: str

    def to_json(self) -> dict[str, Any]:
        """Return it as the control API shows it."""
        return {"account_id": self.account_id, "name": self.name, "user_id": self.user_id, "user": self.user}


class Accounts:
    """Orgs by org id and portals by hub id, in the order of their making."""

    def __init__(self, org_names: Sequence[str], portal_names: Sequence[str]) -> None:
        self.orgs: dict[str, Org] = {}
        self.portals: dict[str, Portal] = {}
        for name in org_names:
            self.add("salesforce", name)
        for name in portal_names:
            self.add("hubspot", name)

    def add(self, crm: Crm, name: str) -> AccountCard:
        """Make one more org or portal with one user and no records."""
        if crm == "salesforce":
            org = new_org(len(self.orgs) + 1, name)
            self.orgs[org.org_id] = org
        else:
            portal = new_portal(len(self.portals) + 1, name)
            self.portals[str(portal.hub_id)] = portal
        return self.cards(crm)[-1]

    def cards(self, crm: Crm) -> list[AccountCard]:
        """Return the accounts of one CRM."""
        if crm == "salesforce":
            return [AccountCard(org.org_id, org.name, org.user_id, org.username) for org in self.orgs.values()]
        return [
            AccountCard(str(portal.hub_id), portal.name, str(portal.user_id), portal.user_email)
            for portal in self.portals.values()
        ]

    def card(self, crm: Crm, account_id: str) -> AccountCard | None:
        """Return one account by its id."""
        return next((card for card in self.cards(crm) if card.account_id == account_id), None)

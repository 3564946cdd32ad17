"""HubSpot: OAuth, contacts, companies, deals and custom objects over the dated CRM API."""

from crm.adapters.hubspot.adapter import HubSpotAdapter
from crm.adapters.hubspot.flags import HubSpotFlags

__all__ = ["HubSpotAdapter", "HubSpotFlags"]

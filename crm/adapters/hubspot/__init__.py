"""HubSpot: OAuth, contacts, companies, deals and custom objects over the dated CRM API."""

from crm.adapters.hubspot.adapter import HubSpotAdapter

__all__ = ["HubSpotAdapter"]

"""Salesforce: leads, contacts, accounts and custom objects over the REST API."""

from crm.adapters.salesforce.adapter import SalesforceAdapter

__all__ = ["SalesforceAdapter"]

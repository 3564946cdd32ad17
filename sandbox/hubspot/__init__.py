"""The simulated HubSpot: OAuth, batch and single object endpoints, search, properties; all under ``/hubspot``."""

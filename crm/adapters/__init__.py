"""One CRM, one file (or folder). Only `crm.registry` imports an adapter."""

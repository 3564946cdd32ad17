"""HTTP in: connecting a CRM in the browser, connections, field mappings, sync history, and a door for sync commands."""

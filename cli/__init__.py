"""The program `crm-sync`: its commands, the demo, and embedded servers for a machine without Docker."""

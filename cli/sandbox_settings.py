"""The settings with which API and workers talk to a sandbox instead of the real CRMs."""

from sandbox.config import SandboxConfig


def settings_lines(origin: str, config: SandboxConfig) -> list[str]:
    """`NAME=value` lines that point the API and the workers to a sandbox."""
    clients = {"SALESFORCE": config.salesforce_clients[0], "HUBSPOT": config.hubspot_clients[0]}
    lines = [f"CRM_SANDBOX_ORIGIN={origin}"]
    for name, client in clients.items():
        lines += [f"{name}_CLIENT_ID={client.client_id}", f"{name}_CLIENT_SECRET={client.client_secret}"]
    return lines

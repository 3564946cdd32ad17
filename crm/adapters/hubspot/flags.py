"""What HubSpot's documents leave open, or an operator decides: one place for the adapter's switches."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubSpotFlags:
    """Switches of the adapter.

    Attributes:
        pkce: Send an S256 challenge (RFC 7636). The token endpoint takes a verifier, but the documents for apps with a
            secret show no challenge: off.
        uninstall_on_disconnect: Also uninstall the app from the account, whereupon HubSpot writes an e-mail to its
            owner. https://developers.hubspot.com/docs/api-reference/latest/app-management/app-uninstalls
        optional_scopes: Asked for without being demanded; the app's own settings must list them too. Custom objects
            need `crm.objects.custom.read` and `crm.objects.custom.write`, which not every account can grant.
    """

    pkce: bool = False
    uninstall_on_disconnect: bool = False
    optional_scopes: tuple[str, ...] = ()

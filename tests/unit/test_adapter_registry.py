"""The list of CRMs: known, configured, or refused with a stable code."""

import pytest

from crm.errors import CommandRefused, ConfigurationFault
from crm.registry import ADAPTERS, ListedAdapter, build_registry
from crm.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
        "CRM_SYNC_MASTER_KEYS": "k1:none",
        "INTEGRATION_OAUTH_REDIRECT_BASE": "https://app.example/callback",
    }
)


@pytest.fixture(autouse=True)
def _only_hubspot_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in ADAPTERS:
        monkeypatch.delenv(f"{entry.slug.upper()}_CLIENT_ID", raising=False)
    monkeypatch.setenv("HUBSPOT_CLIENT_ID", "id")
    monkeypatch.setenv("HUBSPOT_CLIENT_SECRET", "secret")


def test_a_crm_without_client_is_listed_and_refused() -> None:
    """The rest works while an operator has not registered a client for every CRM."""
    # When
    registry = build_registry(SETTINGS)

    # Then
    assert registry.list() == (
        ListedAdapter("salesforce", "Salesforce", configured=False),
        ListedAdapter("hubspot", "HubSpot", configured=True),
    )
    with pytest.raises(ConfigurationFault) as refused:
        registry.get("salesforce")
    assert refused.value.code == "integration_not_configured"
    assert "SALESFORCE_CLIENT_ID" in str(refused.value)
    assert "SALESFORCE_CLIENT_ID" not in refused.value.public


def test_an_unknown_crm_is_refused_by_name() -> None:
    """The text names those that exist."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        build_registry(SETTINGS).get("pipedrive")
    assert refused.value.code == "unknown_integration"
    assert "salesforce, hubspot" in str(refused.value)


def test_an_adapter_is_built_once() -> None:
    """All threads share one adapter, with its memory of the CRM's fields."""
    # When
    registry = build_registry(SETTINGS)

    # Then
    assert registry.get("hubspot") is registry.get("hubspot")
    assert registry.get("hubspot").slug == "hubspot"

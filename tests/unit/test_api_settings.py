"""The API's settings: everything that is missing or wrong is named at once."""

import pytest

from crm.settings import SettingsProblem, load
from producer_api.settings import ApiSettings

GOOD = {
    "DATABASE_URL": "postgresql://fake:fake@127.0.0.1/fake",
    "CRM_SYNC_MASTER_KEYS": "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "INTEGRATION_OAUTH_REDIRECT_BASE": "https://crm.example.com/api/v1/integrations/callback/",
    "CRM_SYNC_JWT_SECRET": "a visibly fake secret of 32 bytes or more",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    for name in ("CRM_SYNC_JWT_JWKS_URL", "CRM_SANDBOX_ORIGIN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def problem() -> str:
    with pytest.raises(SettingsProblem) as found:
        load(ApiSettings)
    return str(found.value)


def test_good_settings_give_origin_and_callback_path(environment: pytest.MonkeyPatch) -> None:
    """Origin and callback path come from the owner's INTEGRATION_OAUTH_REDIRECT_BASE."""
    # Given a complete environment
    assert environment is not None
    # When
    settings = load(ApiSettings)
    # Then
    assert settings.origin == "https://crm.example.com"
    assert settings.callback_path == "/api/v1/integrations/callback"
    assert settings.is_https


def test_everything_that_is_missing_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    """One start shows the whole list, the rule about keys included."""
    # Given
    for name in GOOD:
        environment.delenv(name)
    environment.setenv("CRM_SYNC_API_PORT", "70000")
    # When
    text = problem()
    # Then
    assert all(name in text for name in [*GOOD, "CRM_SYNC_API_PORT", "CRM_SYNC_JWT_JWKS_URL"])


def test_a_short_secret_is_refused_without_being_printed(environment: pytest.MonkeyPatch) -> None:
    """HS256 needs 256 bits (RFC 7518 section 3.2), and an error never shows a secret."""
    # Given
    environment.setenv("CRM_SYNC_JWT_SECRET", "fake-but-short")
    # When
    text = problem()
    # Then
    assert "CRM_SYNC_JWT_SECRET holds 14 bytes" in text
    assert "fake-but-short" not in text


def test_a_key_set_excludes_the_shared_secret(environment: pytest.MonkeyPatch) -> None:
    """Both at once would let a development secret open production."""
    # Given
    environment.setenv("CRM_SYNC_JWT_JWKS_URL", "https://id.example.com/keys")
    # When
    text = problem()
    # Then
    assert "exclude each other" in text


def test_a_key_set_alone_is_enough(environment: pytest.MonkeyPatch) -> None:
    """With a key set no secret is needed."""
    # Given
    environment.delenv("CRM_SYNC_JWT_SECRET")
    environment.setenv("CRM_SYNC_JWT_JWKS_URL", "https://id.example.com/keys")
    # When
    settings = load(ApiSettings)
    # Then
    assert settings.jwt_secret is None


def test_a_key_set_over_plain_http_is_refused(environment: pytest.MonkeyPatch) -> None:
    """Who can change the key set on the way can be anybody."""
    # Given
    environment.delenv("CRM_SYNC_JWT_SECRET")
    environment.setenv("CRM_SYNC_JWT_JWKS_URL", "http://id.example.com/keys")
    # When
    text = problem()
    # Then
    assert "CRM_SYNC_JWT_JWKS_URL must be https://" in text

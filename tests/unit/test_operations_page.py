"""The operations page names every setting."""

import pytest

from consumer.settings import RelaySettings, WorkerSettings
from crm.settings import Settings
from producer_api.settings import ApiSettings
from services.workspace import REPOSITORY


@pytest.mark.parametrize("settings", [Settings, WorkerSettings, RelaySettings, ApiSettings])
def test_every_setting_stands_on_the_page(settings: type[Settings]) -> None:
    """A variable that a process reads is described in `docs/operations.md`."""
    # Given
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    # When
    missing = [field.alias for field in settings.model_fields.values() if f"`{field.alias}`" not in page]
    # Then
    assert missing == []

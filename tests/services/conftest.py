"""Services are tested on both databases where they need one, and their webhooks are impatient."""

import pytest

from tests.databases import cluster, database_url  # noqa: F401


@pytest.fixture(autouse=True)
def impatient_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save often, and do not wait long for receivers that hang when we stop."""
    monkeypatch.setattr("controller.services.webhooks.SAVE_S", 0.05)
    monkeypatch.setattr("controller.services.webhooks.STOP_S", 0.2)

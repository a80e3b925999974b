"""Which cluster a command talks to: the one that is set, else the local one that runs."""

from __future__ import annotations

from typing import Any

from ops.broker_state import read_state
from streams.settings import Settings, load_settings


def connected_settings(**overrides: Any) -> Settings:
    """Return the settings, with a running local broker filled in where no cluster is set.

    `hark broker` may have had to take another port than 9092, and with three brokers topics
    should be replicated; neither should need an environment variable on a laptop.
    """
    settings = load_settings(**overrides)
    local = read_state()
    if local is None or "bootstrap_servers" in settings.kafka.model_fields_set:
        return settings
    found: dict[str, Any] = {"bootstrap_servers": local.bootstrap_servers}
    if "replication_factor" not in settings.kafka.model_fields_set:
        found["replication_factor"] = min(3, len(local.brokers))
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=found)})

"""Which cluster a command talks to: the one that is set, else the local one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.access import Access
from ops.broker_state import read_state
from streams.kafka_settings import Kafka
from streams.settings import Settings, load_settings


def connected_settings(role: str, **overrides: Any) -> Settings:
    """Return the settings, with a running local broker filled in where no cluster is set.

    `hark broker` may have had to take another port than 9092, with three brokers topics should be
    replicated, and a secured one wants a login; none should need an environment variable on a
    laptop.

    Parameters
    ----------
    role
        As which a command logs in to a secured local broker.
    """
    settings = load_settings(**overrides)
    local = read_state()
    if local is None or "bootstrap_servers" in settings.kafka.model_fields_set:
        return settings
    found: dict[str, Any] = {"bootstrap_servers": local.bootstrap_servers}
    if "replication_factor" not in settings.kafka.model_fields_set:
        found["replication_factor"] = min(3, len(local.brokers))
    if local.access is not None and "security_protocol" not in settings.kafka.model_fields_set:
        found |= Access(Path(local.access)).settings(role)
    return with_kafka(settings, found)


def with_kafka(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with other values in their section `kafka`, checked again."""
    kept = {name: getattr(settings.kafka, name) for name in settings.kafka.model_fields_set}
    return settings.model_copy(update={"kafka": Kafka.model_validate({**kept, **changes})})

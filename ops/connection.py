"""The cluster that a command talks to: the configured cluster, else the running local broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.local_kafka.access import Access
from ops.local_kafka.state import read_state
from streams.kafka.settings import Kafka
from streams.settings import Settings, load_settings


def connected_settings(role: str, **overrides: Any) -> Settings:
    """Return the settings, with a running local broker filled in where no cluster is set.

    So a local broker on another port than 9092, with several replicas or with logins needs no
    environment variables.

    Parameters
    ----------
    role
        Role with which the command logs in to a secured local broker.
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
    """Return the settings with changes in their section `kafka`, validated again."""
    kept = {name: getattr(settings.kafka, name) for name in settings.kafka.model_fields_set}
    return settings.model_copy(update={"kafka": Kafka.model_validate({**kept, **changes})})


def kafka_environment(kafka: Kafka) -> dict[str, str]:
    """Environment with which a child process, in any folder, talks to the same cluster."""
    files = {
        name: getattr(kafka, name)
        for name in ("ca_file", "certificate_file", "key_file", "password_file")
    }
    values = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "topic_prefix": kafka.topic_prefix,
        "group_id": kafka.group_id,
        "security_protocol": kafka.security_protocol,
        "sasl_mechanism": kafka.sasl_mechanism,
        # Empty where it comes from a file: an inherited password may be another user's.
        "password": kafka.password.get_secret_value() if kafka.password else "",
        **({"username": kafka.username} if kafka.username else {}),
        **{name: str(file.resolve()) for name, file in files.items() if file},
    }
    return {f"HARK_KAFKA__{name.upper()}": value for name, value in values.items()}

"""What Faust needs to know to log in: SASL, TLS, both or neither."""

from __future__ import annotations

from typing import Any

import faust

from streams.kafka_settings import Kafka


def faust_credentials(kafka: Kafka) -> Any:
    """Credentials for `faust.App(broker_credentials=...)`, None for a plain connection."""
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.username,
            password=kafka.secret(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context else None

"""Connecting to the brokers: a client, or one line that says why not."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.errors import ConfigError, HarkError, TransientError

TIMEOUT_S = 15.0
_VARIABLE = "HARK_KAFKA__BOOTSTRAP_SERVERS"
_ADVICE = {
    "PLAINTEXT": "it may want TLS and a login (HARK_KAFKA__SECURITY_PROTOCOL=SASL_SSL, "
    "HARK_KAFKA__USERNAME, HARK_KAFKA__PASSWORD_FILE, HARK_KAFKA__CA_FILE)",
    "SASL_PLAINTEXT": "it may want TLS (HARK_KAFKA__SECURITY_PROTOCOL=SASL_SSL)",
    "SSL": "it may want a certificate that it trusts (HARK_KAFKA__CERTIFICATE_FILE), or a login "
    "(HARK_KAFKA__SECURITY_PROTOCOL=SASL_SSL)",
    "SASL_SSL": "it may want no TLS (HARK_KAFKA__SECURITY_PROTOCOL=PLAINTEXT), or a certificate "
    "(SSL)",
}


@asynccontextmanager
async def reached(
    client: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[AIOKafkaClient]:
    """A connected bare client.

    Parameters
    ----------
    client
        Keyword arguments of any aiokafka client (`settings.kafka.client()`).
    timeout_s
        Seconds to connect.

    Raises
    ------
    ConfigError
        A broker answers, but TLS or the login fails.
    TransientError
        No broker answers.
    """
    bare = AIOKafkaClient(**client, request_timeout_ms=int(timeout_s * 1000))
    try:
        try:
            async with asyncio.timeout(timeout_s):
                with quiet_aiokafka():
                    await bare.bootstrap()
        except (KafkaError, TimeoutError, OSError) as error:
            raise await why_not(client, error) from None
        yield bare
    finally:
        await bare.close()


async def why_not(client: Mapping[str, Any], error: BaseException) -> HarkError:
    """Why no broker could be reached: connects to each broker again and explains the failure.

    aiokafka's own `error` says only that bootstrapping failed.
    """
    for host, port, _family in collect_hosts(client["bootstrap_servers"]):
        refusal = await _refusal(client, host, port)
        if refusal is not None:
            return ConfigError(f"Kafka at {host}:{port} {refusal}")
    servers = client["bootstrap_servers"]
    if os.environ.get(_VARIABLE) == servers:  # `hark broker start` would start nothing
        advice = f"start it, correct {_VARIABLE}, or unset that and run `hark broker start`"
    else:
        advice = f"start one with `hark broker start`, or set {_VARIABLE}"
    return TransientError(f"no Kafka at {servers} ({type(error).__name__}): {advice}")


async def _refusal(client: Mapping[str, Any], host: str, port: int) -> str | None:
    """Why a running broker refuses the connection; None if no broker is running there."""
    options = {name: value for name, value in client.items() if name != "bootstrap_servers"}
    protocol = options.get("security_protocol", "PLAINTEXT")
    user = options.get("sasl_plain_username")
    try:
        async with asyncio.timeout(5):
            with quiet_aiokafka():
                connection = await create_conn(host, port, request_timeout_ms=5_000, **options)
                await connection.send(MetadataRequest([]))
                connection.close()
    except ssl.SSLCertVerificationError as error:
        return (
            f"shows a certificate that isn't trusted ({error.verify_message}): set "
            "HARK_KAFKA__CA_FILE to the authority that signed it"
        )
    except ssl.SSLError as error:
        return f"doesn't agree on TLS ({error.reason}): is {protocol} what it speaks there?"
    except SaslAuthenticationFailed:
        return (
            f"refuses the login of user {user}: check HARK_KAFKA__USERNAME and the password "
            "(HARK_KAFKA__PASSWORD_FILE)"
        )
    except (UnsupportedSaslMechanismError, IllegalSaslStateError):
        mechanism = options.get("sasl_mechanism")
        return f"takes no login by {mechanism}: check HARK_KAFKA__SASL_MECHANISM"
    except (ConnectionResetError, KafkaConnectionError):
        return f"hangs up on a {protocol} connection: {_ADVICE[protocol]}"
    except (KafkaError, OSError, TimeoutError):
        pass
    return None


def user_of(client: Mapping[str, Any]) -> str:
    """The user that a client logs in as, in words."""
    if client.get("sasl_plain_username"):
        return str(client["sasl_plain_username"])
    if client.get("security_protocol") == "SSL":
        return "of this certificate"
    return "ANONYMOUS"


@contextmanager
def quiet_aiokafka() -> Iterator[None]:
    """Silence aiokafka's log lines where the raised error tells the same."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)

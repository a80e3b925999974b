"""Whether a cluster answers: a real metadata request, not an open port."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError


def wait_ready(
    client: Mapping[str, Any],
    brokers: int,
    timeout_s: float,
    stop_if: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until `brokers` brokers are in the cluster's metadata.

    Parameters
    ----------
    client
        Keyword arguments of an aiokafka client.
    stop_if
        Asked between attempts: True gives up at once (the process died).

    Returns
    -------
    bool
        False if the time ran out or `stop_if` said so.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and not stop_if():
        if brokers_seen(client) >= brokers:
            return True
        time.sleep(0.1)
    return False


def brokers_seen(client: Mapping[str, Any]) -> int:
    """Return how many brokers the metadata names, 0 if nobody answers."""
    # In a thread, because the caller may itself run inside an event loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _brokers_seen(client)).result()


async def _brokers_seen(options: Mapping[str, Any]) -> int:
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # that nobody answers yet is what we want to find out
    client = AIOKafkaClient(**options, request_timeout_ms=5_000)
    try:
        await client.bootstrap()
        return len(client.cluster.brokers())
    except (KafkaError, OSError):
        return 0
    finally:
        await client.close()
        logger.setLevel(level)

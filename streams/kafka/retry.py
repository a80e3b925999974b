"""Retries failures that may pass: a broker that restarts, a new partition leader."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

from schemas.errors import TransientError

log = structlog.get_logger(__name__)
T = TypeVar("T")
FIRST_S, LONGEST_S = 0.2, 5.0


async def retried(what: str, attempt: Callable[[], Awaitable[T]], bound_s: float) -> T:
    """Return the result of `attempt`, which is retried after growing, jittered pauses.

    Parameters
    ----------
    what
        Names the attempt in the log and the error.
    attempt
        Called until it succeeds.
    bound_s
        Most seconds to go on retrying.

    Raises
    ------
    TransientError
        The attempt still fails when the time is over. An error that can't pass is raised at once,
        as it is.
    """
    deadline, pause_s = time.monotonic() + bound_s, FIRST_S
    while True:
        try:
            return await attempt()
        except (KafkaError, OSError, TransientError) as error:
            if not _may_pass(error):
                raise
            # A random part of the pause: workers that failed together don't return together.
            wait_s = random.uniform(0, pause_s)
            if time.monotonic() + wait_s > deadline:
                raise TransientError(
                    f"{what} still fails after {bound_s:.0f} s: {type(error).__name__}: {error}"
                ) from error
            log.warning("retry", what=what, why=f"{type(error).__name__}: {error}")
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_S)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, KafkaError):
        return error.retriable or isinstance(error, KafkaConnectionError | NodeNotReadyError)
    return True

"""Isolation: finds the records that make a batch fail, by halving the batch.

A batch that raises is undone and tried again in halves, in log order, down to the records that
raise alone. Those are refused, and all other records are processed as if the refused ones weren't
there. Decisions don't depend on how a log is cut into batches, so the halves give the same
decisions as the whole batch would have given.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from schemas.errors import HarkError
from streams.transport.record_batch import RecordBatch

log = structlog.get_logger(__name__)
T = TypeVar("T")
_ROOT = Path(__file__).parents[2]
_OURS = tuple(str(_ROOT / package) for package in ("schemas", "models", "streams"))


class TooManyFailuresError(HarkError):
    """Too many records in a row fail: the code is to blame. The batch stays uncommitted."""


class Isolation:
    """Finds the records that make a stage raise.

    Parameters
    ----------
    max_failures
        Most records in a row that may fail; if more fail, the worker itself is broken.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._run = 0

    def run(
        self,
        batch: RecordBatch,
        attempt: Callable[[RecordBatch], T],
        refuse: Callable[[RecordBatch, Exception], T],
    ) -> list[T]:
        """Process a batch, in parts if it raises -> the results of the parts, in log order.

        Parameters
        ----------
        batch
            The records to process.
        attempt
            Processes a batch; must leave all state unchanged if it raises.
        refuse
            Called with each single record that raises, as a batch, and the exception.

        Raises
        ------
        TooManyFailuresError
            More than `max_failures` records in a row raise.
        MemoryError
            The process has no memory left; no record is to blame.
        """
        done: list[T] = []
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                done.append(attempt(part))
                self.succeed()
            except MemoryError:
                raise  # no record is to blame: the worker stops, and the batch is read again
            except Exception as error:  # noqa: BLE001 - a record is to blame for any other error
                if len(part) > 1:
                    half = len(part) // 2
                    waiting += [part.part(half, len(part)), part.part(0, half)]
                    continue
                self._count(part, error)
                done.append(refuse(part, error))
        return done

    def succeed(self) -> None:
        """A record was processed: the run of failures ends."""
        self._run = 0

    def _count(self, part: RecordBatch, error: Exception) -> None:
        self._run += 1
        log.warning(
            "record.refused",
            partition=part.partition,
            offset=part.first_offset,
            error=type(error).__name__,
            at=place(error),
        )
        if self._run > self._max_failures:
            raise TooManyFailuresError(
                f"{self._run} records in a row can't be processed (limit {self._max_failures}), "
                f"the last at {part.topic}/{part.partition}/{part.first_offset}: "
                f"{type(error).__name__} at {place(error)}; is this version of Hark or its model "
                "broken? If the records are, raise limits.max_failures"
            ) from error


def place(error: BaseException) -> str:
    """The place where an exception arose: the innermost line of Hark's own code.

    Examples
    --------
    >>> try:
    ...     Isolation.run(None, None, None, None)
    ... except AttributeError as error:
    ...     place(error).partition(":")[0], place(error).rpartition(" ")[2]
    ('streams/ingest/isolation.py', 'run')
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
    if not ours:
        return "unknown"
    frame = ours[-1]
    return f"{Path(frame.filename).relative_to(_ROOT)}:{frame.lineno} in {frame.name}"

"""Run an archived log again through the worker's own functions, without a worker.

Training, evaluation and tests see each decision point exactly as the worker saw it: the same
decoding, histories, counters and features, in the same order per partition.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import polars as pl

from models import features
from models.windows import Windows
from ops.archive_files import partitions
from schemas.codec import EventDecoder
from schemas.columns import EventColumns
from schemas.errors import ConfigError
from schemas.events import ItemUpsert
from schemas.topics import EVENTS, ITEMS
from streams.batches import RecordBatch
from streams.counters import Live
from streams.covisits import Part, merged
from streams.histories import Applied
from streams.ingest import BatchDecoder
from streams.items import ItemTable
from streams.partition import PartitionState
from streams.plan import Plan
from streams.points import PointPolicy
from streams.settings import Settings

BATCH_RECORDS = 512
"""Also how finely the partitions are interleaved, by broker time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One batch of one partition, as far as the model: D decision points.

    Attributes
    ----------
    windows, features
        With the counters' context filled in; one row per point of `applied.points`.
    """

    partition: int
    columns: EventColumns
    applied: Applied
    live: Live
    windows: Windows
    features: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Standing:
    """D users at one moment, one row each."""

    users: list[str]
    windows: Windows
    features: pl.DataFrame


class Rerun:
    """The state of a worker that owns every partition, fed from the archive.

    Parameters
    ----------
    settings
        The worker's.
    items
        Filled from the archived catalogue and the events.
    suggest
        False leaves the counters' candidates out, where nobody reads them.
    """

    def __init__(self, settings: Settings, *, suggest: bool = True) -> None:
        self._suggest = suggest
        self.items = ItemTable()
        self._decoder = BatchDecoder(EventDecoder(settings.product_contract()))
        self._plan = Plan.from_settings(settings)
        self._states: dict[int, PartitionState] = {}

    def feed(self, batch: RecordBatch) -> Step:
        """Take in one batch."""
        decoded = self._decoder.decode(batch)
        if batch.partition not in self._states:
            self._states[batch.partition] = self._plan.new_state(batch.partition, self.items)
        state = self._states[batch.partition]
        applied = state.histories.apply(decoded.columns)
        live = state.counters.advance(decoded.columns, applied, answer=self._suggest)
        windows = applied.windows.with_context(live.context)
        return Step(
            batch.partition,
            decoded.columns,
            applied,
            live,
            windows,
            features.compute(windows),
        )

    def decide_at(self, points: PointPolicy) -> None:
        """Ask for decisions as `points` says, not as the settings do; before the first batch."""
        self._plan = replace(self._plan, points=points)

    def frozen(self) -> Part:
        """Everybody's item counters as they are now, a copy that stays so."""
        return copy.deepcopy(merged([s.counters.covisits.part() for s in self._states.values()]))

    def standing(self, now_s: int) -> Standing:
        """Every known user as asked at `now_s`, not at an event; at or after all events so far.

        Live counters are those of an event's entities, so there are none here.
        """
        users: list[str] = []
        parts: list[Windows] = [Windows.empty(64)]
        for _, state in sorted(self._states.items()):
            known = state.histories.known()
            users += known
            parts.append(state.histories.standing(known, now_s))
        windows = Windows.concat(parts)
        return Standing(users, windows, features.compute(windows))

    def take_catalogue(self, batches: Iterator[RecordBatch]) -> None:
        """Apply item upserts and tombstones; unreadable entries are skipped, as the worker does."""
        decode = msgspec.json.Decoder(ItemUpsert).decode
        for batch in batches:
            for key, value in zip(batch.keys, batch.values, strict=True):
                try:
                    item_id = (key or b"").decode()
                    entry = None if value is None else decode(value)
                except (UnicodeDecodeError, msgspec.DecodeError):
                    continue
                if entry is None:
                    self.items.remove(item_id)
                elif item_id:
                    self.items.upsert(
                        item_id,
                        category=entry.category,
                        price=entry.price,
                        available=entry.available,
                    )


def rerun(
    root: Path, settings: Settings, progress: Callable[[int], None] | None = None
) -> tuple[Rerun, Iterator[Step]]:
    """Everything archived under `root`, partitions interleaved by broker time.

    Parameters
    ----------
    progress
        Called with the number of records taken in so far.

    Raises
    ------
    ConfigError
        Nothing is archived there.
    """
    prefix = settings.kafka.topic_prefix
    parts = partitions(root, prefix + EVENTS.name)
    if not any(part.spans() for part in parts):
        raise ConfigError(f"no events of topic {prefix + EVENTS.name} are archived in {root}")
    state = Rerun(settings)
    for part in partitions(root, prefix + ITEMS.name):
        state.take_catalogue(part.read())
    logs = [part.read(BATCH_RECORDS) for part in parts]
    return state, _steps(state, logs, progress or (lambda done: None))


def _steps(
    state: Rerun, logs: Sequence[Iterator[RecordBatch]], progress: Callable[[int], None]
) -> Iterator[Step]:
    done = 0
    for batch in heapq.merge(*logs, key=lambda batch: (batch.timestamps[0], batch.partition)):
        yield state.feed(batch)
        done += len(batch)
        progress(done)

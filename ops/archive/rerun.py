"""Run an archived log again through the worker's own functions, without a worker.

Training, evaluation and tests see each decision point exactly as the worker saw it: the same
decoding, histories, counters and features, in the same order per partition. A record that the
worker refused is skipped; a record that makes a stage raise leaves no trace, as in the worker.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.features import features
from models.features.windows import Windows
from ops.archive.files import Ends, partitions
from ops.archive.refused_records import Refused, read_refused
from schemas.errors import ConfigError
from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from schemas.topics import EVENTS, ITEMS
from streams.catalogue.entries import CatalogueEntries
from streams.counters.counters import Live
from streams.counters.item_view import Part, merged
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Applied
from streams.histories.item_table import ItemTable
from streams.ingest.decode import BatchDecoder
from streams.ingest.isolation import Isolation
from streams.ingest.unmapped_names import NamingDecoder, unmapped_line
from streams.item_sweep import between_sweeps
from streams.partition import PartitionState
from streams.plan import Plan
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch

BATCH_RECORDS = 512
"""Also how finely the partitions are interleaved, by broker time."""
MAX_KNOWN = 2_000_000
"""Items of all partitions and the catalogue: steps keep their indices, so none is ever freed."""


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
    features: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Standing:
    """D users at one moment, one row each."""

    users: list[str]
    windows: Windows
    features: npt.NDArray[np.float64]


class Rerun:
    """The state of a worker that owns every partition, fed from the archive.

    Parameters
    ----------
    settings
        The worker's.
    before_ms
        Events of this time and later are passed over; None takes all.
    items
        Filled from the archived catalogue and the events.
    suggest
        False leaves the counters' candidates out, where nobody reads them.
    refused
        Records that the workers refused: they are skipped.
    """

    def __init__(
        self,
        settings: Settings,
        before_ms: int | None = None,
        *,
        suggest: bool = True,
        refused: Refused | None = None,
    ) -> None:
        self._suggest = suggest
        self._refused = refused or {}
        self._isolation = Isolation(settings.limits.max_failures)
        self.items = ItemTable(max_known=MAX_KNOWN)
        self._entries = CatalogueEntries(self.items)
        self._entries.several = True
        self._before_ms = before_ms
        contract = settings.product_contract()
        self._decoder = NamingDecoder(BatchDecoder(EventDecoder(contract)), contract.event_names)
        self._plan = Plan.from_settings(settings)
        self._states: dict[int, PartitionState] = {}

    def feed(self, batch: RecordBatch) -> list[Step]:
        """Take in one batch -> one step; several where a record in it makes a stage raise.

        Raises
        ------
        TooManyFailuresError
            Record after record does.
        """
        state = self.state(batch.partition)
        refused = self._refused.get(batch.partition, frozenset())

        def attempt(part: RecordBatch) -> Step | None:
            with state.undo.trying():
                return self._step(state, part)

        steps: list[Step | None] = []
        for stretch in between_sweeps(state, batch):
            rest = stretch.without(refused)
            if rest is not None:
                steps += self._isolation.run(rest, attempt, lambda _part, _error: None)
            state.next_offset = stretch.last_offset + 1
        return [step for step in steps if step is not None]

    def _step(self, state: PartitionState, batch: RecordBatch) -> Step:
        columns = self._decoder.decode(batch).columns
        if self._before_ms is not None:
            columns = columns.select(columns.time_ms < self._before_ms)
        applied = state.histories.apply(columns)
        live = state.counters.advance(columns, applied, answer=self._suggest)
        windows = applied.windows.with_context(live.context)
        return Step(
            batch.partition,
            columns,
            applied,
            live,
            windows,
            features.compute(windows),
        )

    def unmapped(self) -> str:
        """A line on the event names that no kind is mapped to; empty if there were none."""
        names, events = self._decoder.names, self._decoder.events
        return unmapped_line(names.counts, events) if names.counts else ""

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

    def decide_at(self, points: PointPolicy) -> None:
        """Ask for decisions as `points` says, not as the settings do; before the first batch."""
        self._plan = replace(self._plan, points=points)

    def state(self, partition: int) -> PartitionState:
        """The state of a partition, empty where nothing was fed."""
        if partition not in self._states:
            self._states[partition] = self._plan.new_state(partition, self.items)
        return self._states[partition]

    def settle(self) -> None:
        """Let a quiet second pass: the counters take in the block that was still open."""
        for state in self._states.values():
            state.counters.finish_block()

    def frozen(self, partition: int | None = None) -> Part:
        """A partition's item counters as they are now, or everybody's; a copy that stays so."""
        states = self._states.values() if partition is None else [self.state(partition)]
        parts = [
            state.counters.covisits.part().by_index(state.histories.numbers.all_indices)
            for state in states
        ]
        return copy.deepcopy(merged(parts))

    def take_catalogue(self, batches: Iterator[RecordBatch]) -> None:
        """Apply one partition's item upserts and tombstones, as the worker does."""
        for batch in batches:
            rows = zip(batch.timestamps, batch.keys, batch.values, strict=True)
            for timestamp_ms, key, value in rows:
                self._entries.apply(batch.partition, timestamp_ms, key, value)


def rerun(
    root: Path,
    settings: Settings,
    progress: Callable[[int], None] | None = None,
    *,
    ends: Ends | None = None,
    before_ms: int | None = None,
    since_ms: int | None = None,
) -> tuple[Rerun, Iterator[Step]]:
    """What is archived under `root`, partitions interleaved by broker time.

    Parameters
    ----------
    progress
        Called with the number of records taken in so far.
    ends
        Offsets to read up to; None reads everything.
    before_ms
        Event time from which events are passed over, ms.
    since_ms
        Archived files of events that are all older are passed over.

    Raises
    ------
    ConfigError
        Nothing is archived there.
    """
    prefix = settings.kafka.topic_prefix
    if not any(part.spans() for part in partitions(root, prefix + EVENTS.name)):
        raise ConfigError(f"no events of topic {prefix + EVENTS.name} are archived in {root}")
    state = Rerun(settings, before_ms, refused=read_refused(root, prefix + EVENTS.name))
    for catalogue in _read(root, prefix + ITEMS.name, ends):
        state.take_catalogue(catalogue)
    logs = _read(root, prefix + EVENTS.name, ends, BATCH_RECORDS, since_ms)
    return state, _steps(state, logs, progress or (lambda done: None))


def _read(
    root: Path,
    topic: str,
    ends: Ends | None,
    max_records: int = 4_000,
    since_ms: int | None = None,
) -> list[Iterator[RecordBatch]]:
    """A reader per partition of a topic."""
    until = None if ends is None else ends.get(topic, {})
    return [
        part.read(max_records, None if until is None else until.get(part.partition, 0), since_ms)
        for part in partitions(root, topic)
    ]


def _steps(
    state: Rerun, logs: Sequence[Iterator[RecordBatch]], progress: Callable[[int], None]
) -> Iterator[Step]:
    done = 0
    for batch in heapq.merge(*logs, key=lambda batch: (batch.timestamps[0], batch.partition)):
        yield from state.feed(batch)
        done += len(batch)
        progress(done)

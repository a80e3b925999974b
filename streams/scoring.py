"""The scoring function: a record batch and a partition's state in, outputs out.

It is synchronous and, apart from the state that it advances, pure: no clock, no network. These are
steps 2 to 6 of docs/architecture.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from models.registry.registry import Model
from schemas.errors import EngineError, Reason
from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from schemas.events.kinds import Kind
from streams import forgetting
from streams.decisions.answers import Undecided
from streams.decisions.decider import Decider, Decisions, Record
from streams.histories.histories import Applied
from streams.histories.item_table import ItemTable
from streams.ingest.dead_letters import dead_letter
from streams.ingest.decode import BatchDecoder, Decoded, Rejection
from streams.ingest.isolation import Isolation, place
from streams.item_sweep import between_sweeps, sweeps
from streams.kafka.producer import Output
from streams.monitoring.batch_counts import BatchCounts
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.recommendations.sent_lists import COUNTERS
from streams.transport.record_batch import RecordBatch

_LATE = "older than the user's newest event by more than state.late_s"
_RANK = np.array([3, 1, 2], np.int8)  # by Outcome; a record is accepted if any row is accepted
_ACCEPTED_RANK, _LATE_RANK = 3, 2


@dataclass(slots=True)
class Scored:
    """The result of scoring a record batch.

    Attributes
    ----------
    outputs
        To publish, in order.
    dead
        For each record of the batch, whether it became a dead letter.
    counts
        For the metrics.
    broker_ms, time_ms
        int64 (n,): broker and event time of the accepted events, epoch ms.
    alerts
        (kind, severity, status) of each alert among the outputs.
    engine_error
        Why the model failed, "" if it didn't.
    """

    outputs: list[Output]
    dead: list[bool]
    counts: BatchCounts
    broker_ms: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    alerts: list[tuple[str, str, str]] = field(default_factory=list)
    engine_error: str = ""

    @staticmethod
    def joined(parts: list[Scored]) -> Scored:
        """The result of a batch, from those of its consecutive pieces."""
        if len(parts) == 1:
            return parts[0]
        return Scored(
            outputs=[output for part in parts for output in part.outputs],
            dead=[dead for part in parts for dead in part.dead],
            counts=BatchCounts.joined([part.counts for part in parts]),
            broker_ms=np.concatenate([part.broker_ms for part in parts]),
            time_ms=np.concatenate([part.time_ms for part in parts]),
            alerts=[alert for part in parts for alert in part.alerts],
            engine_error=next((part.engine_error for part in parts if part.engine_error), ""),
        )


class Scorer:
    """Scores batches with the present model, or with the counters if there is none.

    Parameters
    ----------
    plan
        The settings as plain values.
    decoder
        Compiled for the product's contract.
    items
        The worker's item table.
    metrics
        Times the stages.
    record
        Called with the decisions of every batch.
    max_failures
        Most records in a row that may make a stage raise.
    """

    def __init__(
        self,
        plan: Plan,
        decoder: EventDecoder,
        items: ItemTable,
        metrics: Metrics,
        record: Record | None = None,
        *,
        max_failures: int = 100,
    ) -> None:
        self.plan = plan
        self.event_names = decoder.contract.event_names
        self._decoder = BatchDecoder(decoder)
        self._items = items
        self._metrics = metrics
        self._decider = Decider(plan, items, metrics)
        self._record = record
        self._isolation = Isolation(max_failures)

    @property
    def model_version(self) -> str:
        """The version that answers now, or "counters"; may be read from any thread."""
        return self._decider.model_version

    def use(self, model: Model | None) -> None:
        """Answer with `model` from the next batch on."""
        self._decider.use(model)

    def new_state(self, partition: int) -> PartitionState:
        """The empty state of a partition."""
        return self.plan.new_state(partition, self._items)

    def score_batch(self, state: PartitionState, batch: RecordBatch) -> Scored:
        """Advance `state` by `batch` -> the outputs to publish before the batch may be acked.

        A record that makes a stage raise becomes a dead letter and leaves no trace in `state`.

        Raises
        ------
        TooManyFailuresError
            More than `max_failures` records in a row make a stage raise.
        """

        def attempt(part: RecordBatch) -> Scored:
            with state.undo.trying():
                return self._score([(state, part)])[0]

        def refuse(part: RecordBatch, error: Exception) -> Scored:
            return self._refuse(state, part, error)

        self._items.sweep()
        found: list[Scored] = []
        for stretch in between_sweeps(state, batch):
            for part, user_id in forgetting.pieces(stretch):
                if user_id is None:
                    found += self._isolation.run(part, attempt, refuse)
                else:
                    found.append(self._forget(state, part, user_id))
        return Scored.joined(found)

    def score_together(self, batches: Sequence[tuple[PartitionState, RecordBatch]]) -> list[Scored]:
        """Do as `score_batch` does with each batch, but call the model only once if possible.

        Parameters
        ----------
        batches
            The next batches of different partitions.

        Raises
        ------
        TooManyFailuresError
            As `score_batch`.
        """
        if len(batches) > 1 and all(is_plain(state, batch) for state, batch in batches):
            self._items.sweep()
            try:
                with ExitStack() as attempts:
                    for state, _ in batches:
                        attempts.enter_context(state.undo.trying())
                    scored = self._score(batches)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001, S110 - `score_batch` finds the record that is to blame
                pass
            else:
                self._isolation.succeed()
                return scored
        return [self.score_batch(state, batch) for state, batch in batches]

    def _score(self, batches: Sequence[tuple[PartitionState, RecordBatch]]) -> list[Scored]:
        """Score plain batches of different partitions, with one call of the model."""
        with self._metrics.stage("decode"):
            decoded = self._decoder.decode_each([batch for _, batch in batches])
        parts: list[Undecided] = []
        with self._metrics.stage("histories"):
            for (state, _), found in zip(batches, decoded, strict=True):
                applied = state.with_orphans(found.columns, state.histories.apply(found.columns))
                parts.append(self._count(state, found.columns, applied))
        decisions, engine_error = self._decide(parts)
        return [
            self._scored(batches[i][1], decoded[i], parts[i], decisions[i], engine_error)
            for i in range(len(batches))
        ]

    def _scored(
        self,
        batch: RecordBatch,
        decoded: Decoded,
        part: Undecided,
        decisions: Decisions,
        engine_error: str,
    ) -> Scored:
        state, columns, applied = part.state, part.columns, part.applied
        ranks = np.zeros(len(batch), np.int8)
        tally = _tally(decoded.index, applied.outcomes, ranks)
        rejected = decoded.rejected
        if tally[_LATE_RANK]:
            late = np.flatnonzero(ranks == _LATE_RANK).tolist()
            rejected = sorted(
                [*rejected, *(Rejection(i, Reason.LATE, _LATE) for i in late)],
                key=lambda rejection: rejection.index,
            )
        dead = [False] * len(batch)
        for rejection in rejected:
            dead[rejection.index] = True
        kinds, broker_ms, time_ms = columns.kinds, columns.broker_ms, columns.time_ms
        if tally[_ACCEPTED_RANK] < len(columns):
            accepted = applied.accepted & columns.ends
            kinds, broker_ms, time_ms = kinds[accepted], broker_ms[accepted], time_ms[accepted]
        scored = Scored(
            outputs=[
                *(self._dead_letter(batch, rejection) for rejection in rejected),
                *decisions.outputs,
            ],
            dead=dead,
            counts=_counts(decoded, rejected, tally, kinds, applied, decisions),
            broker_ms=broker_ms,
            time_ms=time_ms,
            alerts=decisions.alerts,
            engine_error=engine_error,
        )
        if self._record is not None:
            offsets = columns.offsets[applied.points.rows]
            self._record(state.partition, offsets, decisions)
        self._advance(state, batch)
        return scored

    def _forget(self, state: PartitionState, batch: RecordBatch, user_id: str) -> Scored:
        """Process a forget record, as a batch of one record."""
        alerts = forgetting.forget(state, batch, user_id)
        self._advance(state, batch)
        none = np.empty(0, np.int64)
        outputs = [Output(self.plan.alerts, *forgetting.message(alert, batch)) for alert in alerts]
        statuses: list[tuple[str, str, str]] = [(a.kind, a.severity, a.status) for a in alerts]
        return Scored(outputs, [False], forgetting.counts(), none, none, statuses)

    def _refuse(self, state: PartitionState, batch: RecordBatch, error: Exception) -> Scored:
        """Refuse a record that makes a stage raise, as a batch of one record."""
        self._advance(state, batch)
        text = str(error).encode(errors="replace").decode()
        why = f"{type(error).__name__} at {place(error)}: {' '.join(text.split())}"
        rejection = Rejection(0, Reason.UNPROCESSABLE, why)
        none = np.empty(0, np.int64)
        counts = BatchCounts(records=1, accepted=0, dead_letters={rejection.reason.value: 1})
        return Scored([self._dead_letter(batch, rejection)], [True], counts, none, none)

    def apply_batch(self, state: PartitionState, batch: RecordBatch) -> tuple[int, str]:
        """Advance `state` without output, for a restore.

        Lists are decided as well, because a user's last list is part of the state. Records that
        were refused when they were scored (`state.refused`) are skipped again.

        Returns
        -------
        tuple
            Number of accepted events, and `Scored.engine_error`.
        """

        def attempt(part: RecordBatch) -> tuple[int, str]:
            with state.undo.trying():
                return self._apply(state, part)

        self._items.sweep()
        parts: list[tuple[int, str]] = []
        for stretch in between_sweeps(state, batch):
            rest = stretch.without(state.refused) if state.refused else stretch
            for part, user_id in forgetting.pieces(rest) if rest else ():
                if user_id is None:
                    parts += self._isolation.run(part, attempt, lambda _part, _error: (0, ""))
                else:
                    forgetting.forget(state, part, user_id)
            self._advance(state, stretch)
        return sum(n for n, _ in parts), next((why for _, why in parts if why), "")

    def _apply(self, state: PartitionState, batch: RecordBatch) -> tuple[int, str]:
        columns = self._decoder.decode(batch).columns
        applied = state.histories.apply(columns)
        _, engine_error = self._decide([self._count(state, columns, applied)], publish=False)
        return int(applied.accepted.sum()), engine_error

    def _count(self, state: PartitionState, columns: EventColumns, applied: Applied) -> Undecided:
        """Advance the counters by a batch -> what the decisions need."""
        by_model = self._decider.model_version != COUNTERS
        live = state.counters.advance(columns, applied, context=by_model)
        windows = applied.windows.with_context(live.context)
        return Undecided(state, columns, applied, windows, live.suggestions)

    def _decide(
        self, parts: Sequence[Undecided], *, publish: bool = True
    ) -> tuple[list[Decisions], str]:
        """The decisions, from the counters if the model fails; and why the model failed, or ""."""
        try:
            return self._decider.decide(parts, publish=publish), ""
        except EngineError as error:
            self._decider.use(None)
            return self._decider.decide(parts, publish=publish), str(error)

    def _advance(self, state: PartitionState, batch: RecordBatch) -> None:
        state.next_offset = batch.last_offset + 1
        state.last_broker_ms = batch.timestamps[-1]

    def _dead_letter(self, batch: RecordBatch, rejection: Rejection) -> Output:
        return dead_letter(self.plan.dead_letters, self.plan.code_version, batch, rejection)


def is_plain(state: PartitionState, batch: RecordBatch) -> bool:
    """Whether a batch can be scored in one piece: no sweep and no forget record cuts it."""
    (whole, user_id), *_ = forgetting.pieces(batch)
    return not sweeps(state, batch) and user_id is None and len(whole) == len(batch)


@kernel
def _tally(
    index: npt.NDArray[np.int32], outcomes: npt.NDArray[np.uint8], ranks: npt.NDArray[np.int8]
) -> tuple[int, int, int, int]:
    """Find the outcome of each record of a batch.

    Parameters
    ----------
    index, outcomes
        int32 and uint8 (n,): record and `Outcome` of each event.
    ranks
        int8 (records,), 0: filled with the rank of each record's outcome; 0 = rejected by
        decoding, or ignored.

    Returns
    -------
    tuple
        Number of records by rank.
    """
    for row in range(len(index)):
        ranks[index[row]] = max(ranks[index[row]], _RANK[outcomes[row]])
    none = duplicates = late = accepted = 0
    for rank in ranks:
        none += rank == 0
        duplicates += rank == 1
        late += rank == _LATE_RANK
        accepted += rank == _ACCEPTED_RANK
    return none, duplicates, late, accepted


def _counts(
    decoded: Decoded,
    rejected: list[Rejection],
    tally: tuple[int, int, int, int],
    kinds: npt.NDArray[np.uint8],
    applied: Applied,
    decisions: Decisions,
) -> BatchCounts:
    _, duplicates, _, accepted = tally
    ignored = 0
    if decoded.ignored:
        ignored = decoded.ignored.total()
        kinds = np.append(kinds, np.full(ignored, Kind.OTHER, np.uint8))
    return BatchCounts(
        records=sum(tally),
        accepted=accepted + ignored,
        duplicates=duplicates,
        dead_letters=Counter([rejection.reason.value for rejection in rejected]),
        kinds=kinds,
        unknown_names=decoded.unknown_names,
        future=decoded.future,
        out_of_order=applied.disordered,
        unkeyed=decoded.unkeyed,
        ignored=decoded.ignored,
        left_out=decoded.left_out,
        recommend=decisions.lists.total(),
        churn=decisions.scored("churn"),
        risk=decisions.scored("risk"),
        **decisions.lists,
    )

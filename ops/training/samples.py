"""From a rerun log to a training corpus: events, decision points, features and labels.

Memory is bounded by sampling. Users are drawn by a hash of the user id, so that a user who is in
the corpus is there with everything that happened to that user: next items and labels come out
right. Decision points are drawn by a hash of the message id. Neither depends on order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xxhash

from models.features.model_inputs import gap_buckets, hours_of_week, log_amounts, scale
from models.training import labels
from models.training.corpus import Corpus, Points
from ops.archive.rerun import Step
from ops.training.sample_sequences import TOKEN, Sequences
from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.histories.decision_points import Task

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What counts as churn and when risk labels are complete.

    Attributes
    ----------
    churn_horizon_s
        Silence that counts as gone; None takes `labels.churn_horizon_s` of the log's span.
    churn_kinds
        Kinds that are signs of life.
    label_delay_s
        Younger unconfirmed payments are unlabelled.
    """

    churn_horizon_s: int | None = None
    churn_kinds: frozenset[Kind] = frozenset(Kind) - {Kind.PAD, Kind.LABEL, Kind.CANCEL}
    label_delay_s: int = 7 * labels.DAY_S


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a log is held in memory, and from where on.

    Attributes
    ----------
    max_events, max_points
        When there are more, half of the users, or of the points, go: an event takes about 200
        bytes, a point 1,000, at the peak, when the pieces become arrays.
    begin_ms
        Broker time from which events and points count; what comes before only builds the state.
    """

    max_events: int = sys.maxsize
    max_points: int = sys.maxsize
    begin_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """A corpus and what is behind its numbers.

    Attributes
    ----------
    item_index
        int64 (N,): the rerun's item index of model row r + 1.
    places
        int64 (P, 2): partition and offset of each decision point's event.
    numbers
        int64 (P,): of each point among all points of the rerun, ascending.
    user_share, point_share
        Of the users, and of their points, that are there.
    """

    corpus: Corpus
    item_index: Ints
    places: Ints
    numbers: Ints
    horizon_s: int
    label_delay_s: int
    log_end_s: int
    user_share: float = 1.0
    point_share: float = 1.0

    def rows_of(self, numbers: Ints) -> Ints:
        """Rows of the corpus' points with these numbers, -1 where they aren't there."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), max(len(self.numbers) - 1, 0))
        found = self.numbers[at] == numbers if len(self.numbers) else np.zeros(len(numbers), bool)
        return np.where(found, at, -1)


@dataclass(slots=True)
class _Gathered:
    """Columns by name, in pieces, in the order of the rerun."""

    parts: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=dict)

    def add(self, **columns: npt.NDArray[np.generic]) -> None:
        for name, values in columns.items():
            self.parts.setdefault(name, []).append(values)

    def get(self, name: str) -> npt.NDArray[np.generic]:
        return np.concatenate(self.parts[name])

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drop all other rows, piece by piece: no copy of everything is made."""
        for pieces in self.parts.values():
            first = 0
            for number, piece in enumerate(pieces):
                pieces[number] = piece[rows[first : first + len(piece)]]
                first += len(piece)


class _Collector:
    """What is gathered step by step."""

    def __init__(self, bounds: Bounds, length: int) -> None:
        self.bounds = bounds
        self.sequences = Sequences(length)
        self.points = _Gathered()
        self.confirmed: list[npt.NDArray[np.uint64]] = []
        self.users: dict[tuple[int, str], int] = {}
        self.lots: list[float] = []
        self.user_share = self.point_share = 1.0
        self.accepted = self.seen_points = self.kept_points = 0
        self.first_s, self.last_s = np.iinfo(np.int64).max, 0

    def see(self, step: Step) -> Ints:
        """Take in a step -> rows of its points that are kept for now."""
        columns, accepted = step.columns, step.applied.accepted
        number = self.seen_points
        self.seen_points += len(step.applied.points)
        if self.bounds.begin_ms is not None:
            accepted = accepted & (columns.broker_ms >= self.bounds.begin_ms)
        label = columns.kinds == Kind.LABEL
        self.confirmed.append(columns.references[accepted & label])
        kept = np.flatnonzero(accepted & ~label)
        times_s = np.maximum(columns.time_ms // 1000, 0)
        if len(kept):
            self.accepted += len(kept)
            self.first_s = min(self.first_s, int(times_s[kept].min()))
            self.last_s = max(self.last_s, int(times_s[kept].max()))
        events, rows = self._sequence(step, kept, times_s)
        self.points.add(
            event=events,
            tasks=step.applied.points.tasks[rows],
            message=columns.message_hashes[step.applied.points.rows[rows]],
            features=scale(step.features[rows]),
            number=number + rows,
            place=np.stack(
                [
                    np.full(len(rows), step.partition),
                    columns.offsets[step.applied.points.rows[rows]],
                ],
                axis=1,
            ),
        )
        self.kept_points += len(rows)
        self._thin()
        return rows

    def _sequence(self, step: Step, kept: Ints, times_s: Ints) -> tuple[Ints, Ints]:
        """Store events and windows -> where the kept points' events are, and their rows."""
        columns, windows = step.columns, step.windows
        tokens = np.empty(len(columns), TOKEN)
        tokens["item"], tokens["kind"] = step.applied.items, columns.kinds
        tokens["amount"], tokens["time_s"] = columns.amounts, times_s
        packed, size = tokens.tobytes(), TOKEN.itemsize
        shown = np.empty(windows.items.shape, TOKEN)
        shown["item"], shown["kind"] = windows.items, windows.kinds
        shown["amount"], shown["time_s"] = windows.amounts, windows.times_s
        point_rows = step.applied.points.rows
        point_of = dict(zip(point_rows.tolist(), range(len(point_rows)), strict=True))
        drawn = lot(columns.message_hashes[point_rows]) < self.point_share
        lengths = windows.lengths.tolist()
        events, rows = [], []
        for row in kept.tolist():
            user = self._user(step.partition, columns.user_ids[row])
            if user < 0:
                continue
            self.sequences.accept(user, packed[row * size : (row + 1) * size])
            point = point_of.get(row)
            if point is None:
                continue
            at = self.sequences.decide(user, shown[point, : lengths[point]].tobytes())
            if drawn[point]:
                events.append(at)
                rows.append(point)
        return np.array(events, np.int64), np.array(rows, np.int64)

    def _user(self, partition: int, user_id: str) -> int:
        """The user's number, -1 if not drawn."""
        found = self.users.get((partition, user_id))
        if found is None:
            drawn = xxhash.xxh3_64_intdigest(user_id.encode(errors="surrogatepass")) / 2.0**64
            if drawn >= self.user_share:
                return -1
            found = self.users[partition, user_id] = len(self.lots)
            self.lots.append(drawn)
        return found

    def _thin(self) -> None:
        while self.sequences.events > self.bounds.max_events and self.user_share > 0:
            self.user_share /= 2
            kept = np.array(self.lots) < self.user_share
            moved = self.sequences.keep_users(kept)
            event = moved[self.points.get("event").astype(np.int64)]
            self.points.keep(event >= 0)
            self.points.parts["event"] = [event[event >= 0]]
            self.kept_points = int((event >= 0).sum())
            # Numbers stay as they are: those of users who went are never used again.
            self.users = {who: user for who, user in self.users.items() if kept[user]}
        while self.kept_points > self.bounds.max_points and self.point_share > 0:
            self.point_share /= 2
            stays = lot(self.points.get("message").astype(np.uint64)) < self.point_share
            self.points.keep(stays)
            self.kept_points = int(stays.sum())


def lot(message_hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each message, by its id alone."""
    mixed = message_hashes * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def collect(
    steps: Iterator[Step],
    rules: LabelRules,
    *,
    max_items: int = 50_000,
    bounds: Bounds | None = None,
    look: Callable[[Step, Ints], None] | None = None,
) -> Samples:
    """Gather the accepted events and the decision points of a rerun, within bounds.

    Parameters
    ----------
    max_items
        Most rows of the model's item table; beyond it the rarest items are unknown to the model.
    look
        Shown every step too, and which of its points are kept for now.
    """
    collector: _Collector | None = None
    for step in steps:
        if collector is None:
            collector = _Collector(bounds or Bounds(), step.windows.length)
        rows = collector.see(step)
        if look is not None:
            look(step, rows)
    if collector is None or not collector.accepted:
        raise ConfigError("the archived log holds no event that counts: nothing to learn from")
    collector.sequences.finish()
    return _assemble(collector, rules, max_items)


def _assemble(found: _Collector, rules: LabelRules, max_items: int) -> Samples:
    stored = found.sequences.arrays()
    order = np.lexsort((stored["sequence"], stored["user"]))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    sequence, time_s = (stored[name][order].astype(np.int64) for name in ("sequence", "time_s"))
    user = np.unique(stored["user"][order], return_inverse=True)[1].astype(np.int64)
    kinds, first_seen = stored["kind"][order].astype(np.int64), stored["first_seen"][order]
    items = stored["item"][order].astype(np.int64)
    amount = stored["amount"][order].astype(np.float32)
    del stored
    rows, item_index = _item_rows(items, first_seen.astype(np.bool_), max_items)

    points = found.points
    at = back[points.get("event").astype(np.int64)]
    tasks = points.get("tasks").astype(np.uint8)
    end_s, span_s = found.last_s, found.last_s - found.first_s
    horizon_s = rules.churn_horizon_s or labels.churn_horizon_s(span_s)
    alive = np.isin(kinds, [int(kind) for kind in rules.churn_kinds])
    churn = labels.churn(
        user[at], time_s[at], user[alive], time_s[alive], horizon_s=horizon_s, log_end_s=end_s
    )
    churn[(tasks & Task.CHURN) == 0] = labels.UNKNOWN
    risk = labels.risk(
        points.get("message").astype(np.uint64),
        time_s[at],
        np.concatenate(found.confirmed),
        label_delay_s=rules.label_delay_s,
        log_end_s=end_s,
    )
    risk[(tasks & Task.RISK) == 0] = labels.UNKNOWN
    gap_s = np.zeros_like(time_s)
    gap_s[:-1] = np.where(sequence[1:] == sequence[:-1], time_s[1:] - time_s[:-1], 0)
    corpus = Corpus(
        users=user,
        times_s=time_s,
        item_rows=rows,
        kinds=kinds,
        gaps=gap_buckets(gap_s),
        hours=hours_of_week(time_s),
        amounts=log_amounts(amount),
        points=Points(at, points.get("features").astype(np.float32, copy=False), churn, risk),
        sequences=np.cumsum(np.diff(sequence, prepend=sequence[:1]) != 0),
        first_seen=first_seen.astype(np.bool_),
    )
    return Samples(
        corpus=corpus,
        item_index=item_index,
        places=points.get("place").astype(np.int64),
        numbers=points.get("number").astype(np.int64),
        horizon_s=horizon_s,
        label_delay_s=rules.label_delay_s,
        log_end_s=end_s,
        user_share=found.user_share,
        point_share=found.point_share,
    )


def _item_rows(items: Ints, first_seen: npt.NDArray[np.bool_], max_items: int) -> tuple[Ints, Ints]:
    """Model rows (n,) of the events' items, and the item behind each row but 0."""
    found, counts = np.unique(items[(items >= 0) & first_seen], return_counts=True)
    if len(found) > max_items:
        found = np.sort(found[np.argsort(-counts, kind="stable")[:max_items]])
    place = np.searchsorted(found, items)
    known = (items >= 0) & (place < len(found))
    known[known] = found[place[known]] == items[known]
    return np.where(known, place + 1, 0), found

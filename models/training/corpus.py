"""The log as flat training arrays: sequences of events as decisions saw them, and the points.

A sequence is a stretch of a user's history that only grew: the events before a decision point in
its sequence are those that the worker knew. A late event, or a history that starts anew, starts
another sequence, which repeats the known events.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import ModelInputs, gap_buckets

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """P decision points with their features and labels.

    Attributes
    ----------
    event
        int64 (P,): index of the triggering event in the corpus.
    features
        float32 (P, F).
    churn, risk
        int8 (P,): 1, 0 or -1 (unknown).
    """

    event: Ints
    features: npt.NDArray[np.float32]
    churn: npt.NDArray[np.int8]
    risk: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Corpus:
    """n events, one user after the other, one sequence after the other, each in time order.

    Attributes
    ----------
    users, times_s
        int64 (n,): dense user number, ascending; event time.
    item_rows, kinds, gaps, hours
        int64 (n,): tokens as in `ModelInputs`; `gaps` looks to the sequence's next event.
    amounts
        float32 (n,).
    sequences
        int64 (n,): number of the sequence, ascending; by default each user is one sequence.
    first_seen
        bool (n,): False where an event is repeated as context only; by default all are True.
    """

    users: Ints
    times_s: Ints
    item_rows: Ints
    kinds: Ints
    gaps: Ints
    hours: Ints
    amounts: npt.NDArray[np.float32]
    points: Points
    sequences: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    first_seen: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def __post_init__(self) -> None:
        if len(self.sequences) != len(self.users):
            object.__setattr__(self, "sequences", self.users)
        if len(self.first_seen) != len(self.users):
            object.__setattr__(self, "first_seen", np.ones(len(self.users), np.bool_))

    def __len__(self) -> int:
        return len(self.users)

    def in_time_order(self) -> Ints:
        """Indices of the events where they are first seen, by user, then by time."""
        once = np.flatnonzero(self.first_seen)
        return once[np.lexsort((self.times_s[once], self.users[once]))]

    def following(self) -> Ints:
        """Index (n,) of the user's next event on another known item, whenever it arrived.

        It is n where there is no such event, and at events that are context only.
        """
        n, order = len(self), self.in_time_order()
        found = next_distinct(self.users[order], self.item_rows[order])
        answer = np.full(n, n, dtype=np.int64)
        known = found < len(order)
        answer[order[known]] = order[found[known]]
        return answer

    def as_of(self, cut_s: int) -> tuple[Corpus, Ints]:
        """The corpus as it was at `cut_s`, except for labels; `until` only drops later events.

        Returns
        -------
        tuple
            The events before `cut_s`, users renumbered and each sequence's last gap reset; and
            the rows of the points that are left, int64 (P',).
        """
        kept = self.times_s < cut_s
        number = np.cumsum(kept) - 1
        points = np.flatnonzero(kept[self.points.event])
        columns = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name != "points"}
        _, columns["users"] = np.unique(columns["users"], return_inverse=True)
        runs = columns["sequences"]
        newest = np.append(runs[1:] != runs[:-1], True)[: len(runs)]
        columns["gaps"] = np.where(newest, gap_buckets(np.zeros(1, np.int64))[0], columns["gaps"])
        left = {f.name: getattr(self.points, f.name)[points] for f in fields(self.points)}
        left["event"] = number[left["event"]]
        return replace(self, **columns, points=replace(self.points, **left)), points


def next_distinct(users: Ints, item_rows: Ints) -> Ints:
    """Index (n,) of each user's next event on another known item; n where there is none.

    A recommendation is for the next other item, not for the same item again.
    """
    n = len(users)
    known = np.flatnonzero(item_rows > 0)
    answer = np.full(n, n, dtype=np.int64)
    if not len(known):
        return answer
    # Among known-item events, the start of each run of one user and one item.
    same = (users[known][1:] == users[known][:-1]) & (item_rows[known][1:] == item_rows[known][:-1])
    run = np.concatenate([[0], np.cumsum(~same)])
    starts = known[np.concatenate([[True], ~same])]
    following = np.append(starts, n)
    # An event without an item waits for the next known one, whatever it is.
    place = np.searchsorted(known, np.arange(n), side="right") - 1
    on_item = item_rows > 0
    answer[on_item] = following[run + 1]
    off = ~on_item
    at = place[off] + 1
    answer[off] = np.where(at < len(known), known[np.minimum(at, len(known) - 1)], n)
    inside = answer < n
    answer[inside & (users[np.minimum(answer, n - 1)] != users)] = n
    return answer


def chunks(sequences: Ints, length: int, rng: np.random.Generator | None) -> tuple[Ints, Ints]:
    """Cut every sequence into pieces of at most `length` events: starts and sizes, int64 (C,).

    With `rng`, a sequence's first piece has a random size, so that over the epochs every event
    is seen at many depths of history. Without it, cuts are aligned to the newest event.
    """
    first = np.flatnonzero(np.concatenate([[True], sequences[1:] != sequences[:-1]]))
    sizes = np.diff(np.append(first, len(sequences)))
    if rng is None:
        head = (sizes - 1) % length + 1
    else:
        head = np.minimum(rng.integers(1, length + 1, len(sizes)), sizes)
        head = np.where(sizes <= length, sizes, head)
    pieces = 1 + -(-(sizes - head) // length)
    owner = np.repeat(np.arange(len(first)), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = first[owner] + np.where(number > 0, head[owner] + (number - 1) * length, 0)
    stop = np.minimum(first[owner] + head[owner] + number * length, (first + sizes)[owner])
    return start, stop - start


def until(corpus: Corpus, end_s: int) -> Corpus:
    """The corpus without events at or after `end_s`; all else stays as it is.

    A sequence's last event keeps its gap to a dropped event; `at_points` and the network mask it,
    and `Corpus.as_of` resets it.
    """
    kept = corpus.times_s < end_s
    number = np.cumsum(kept) - 1
    points = corpus.points
    asked = kept[points.event]
    columns = [f.name for f in fields(corpus) if f.name != "points"]
    return Corpus(
        **{name: getattr(corpus, name)[kept] for name in columns},
        points=Points(
            number[points.event[asked]],
            points.features[asked],
            points.churn[asked],
            points.risk[asked],
        ),
    )


def at_points(corpus: Corpus, rows: Ints, length: int = 64) -> ModelInputs:
    """Inputs (B, `length`) of the points `rows` (B,): each is its sequence up to its own event.

    The newest event's gap is 0, since the decision is made at that moment.
    """
    event = corpus.points.event[rows]
    begins = np.flatnonzero(np.diff(corpus.sequences, prepend=-1))
    begin = begins[np.searchsorted(begins, event, side="right") - 1]
    lengths = np.minimum(event - begin + 1, length)  # (B,)
    steps = np.arange(length)
    inside = steps < lengths[:, None]  # (B, L)
    index = np.where(inside, event[:, None] - lengths[:, None] + 1 + steps, 0)
    now = gap_buckets(np.zeros(1, dtype=np.int64))[0]
    gaps = np.where(steps == lengths[:, None] - 1, now, corpus.gaps[index])
    return ModelInputs(
        item_rows=np.where(inside, corpus.item_rows[index], 0),
        kinds=np.where(inside, corpus.kinds[index], 0),
        gaps=np.where(inside, gaps, 0),
        hours=np.where(inside, corpus.hours[index], 0),
        amounts=np.where(inside, corpus.amounts[index], 0).astype(np.float32),
        features=corpus.points.features[rows],
        lengths=lengths.astype(np.int64),
    )

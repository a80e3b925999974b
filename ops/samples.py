"""From a rerun log to a training corpus: events, decision points, features and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models import labels
from models.corpus import Corpus, Points
from models.sequences import EPOCH_HOUR, HOUR_S, WEEK_HOURS, gap_buckets, scale
from ops.rerun import Step
from schemas.errors import ConfigError
from schemas.kinds import Kind
from streams.points import Task

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
class Samples:
    """A corpus and what is behind its numbers.

    Attributes
    ----------
    item_index
        int64 (N,): the rerun's item index of model row r + 1.
    places
        int64 (P, 2): partition and offset of each decision point's event.
    """

    corpus: Corpus
    item_index: Ints
    places: Ints
    horizon_s: int
    label_delay_s: int
    log_end_s: int


@dataclass(slots=True)
class _Gathered:
    """Columns by name, in pieces, in the order of the rerun."""

    parts: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=dict)

    def add(self, **columns: npt.NDArray[np.generic]) -> None:
        for name, values in columns.items():
            self.parts.setdefault(name, []).append(values)

    def get(self, name: str) -> npt.NDArray[np.generic]:
        return np.concatenate(self.parts[name])


def collect(
    steps: Iterator[Step],
    rules: LabelRules,
    *,
    max_items: int = 50_000,
    look: Callable[[Step], None] | None = None,
) -> Samples:
    """Gather every accepted event and every decision point of a rerun.

    Parameters
    ----------
    look
        Shown every step too.
    max_items
        Most rows of the model's item table; beyond it the rarest items are unknown to the model.
    """
    events, points = _Gathered(), _Gathered()
    users: dict[tuple[int, str], int] = {}
    confirmed: list[npt.NDArray[np.uint64]] = []
    count = 0
    for step in steps:
        if look is not None:
            look(step)
        columns, accepted = step.columns, step.applied.accepted
        label = columns.kinds == Kind.LABEL
        confirmed.append(columns.references[accepted & label])
        kept = np.flatnonzero(accepted & ~label)
        number = np.full(len(columns), -1, dtype=np.int64)
        number[kept] = count + np.arange(len(kept))
        count += len(kept)
        who = [
            users.setdefault((step.partition, columns.user_ids[row]), len(users))
            for row in kept.tolist()
        ]
        events.add(
            user=np.array(who, dtype=np.int64),
            time_s=np.maximum(columns.time_ms[kept] // 1000, 0),
            item=step.applied.items[kept].astype(np.int64),
            kind=columns.kinds[kept].astype(np.int64),
            amount=columns.amounts[kept],
        )
        rows = step.applied.points.rows
        points.add(
            event=number[rows],
            tasks=step.applied.points.tasks,
            message=columns.message_hashes[rows],
            features=scale(step.features),
            place=np.stack([np.full(len(rows), step.partition), columns.offsets[rows]], axis=1),
        )
    if not count:
        raise ConfigError("the archived log holds no event that counts: nothing to learn from")
    return _assemble(events, points, np.concatenate(confirmed), rules, max_items)


def _assemble(
    events: _Gathered,
    points: _Gathered,
    confirmed: npt.NDArray[np.uint64],
    rules: LabelRules,
    max_items: int,
) -> Samples:
    order = np.lexsort((events.get("time_s"), events.get("user")))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    user, time_s = (events.get(name)[order].astype(np.int64) for name in ("user", "time_s"))
    kinds = events.get("kind")[order].astype(np.int64)
    amount = events.get("amount")[order].astype(np.float32)
    rows, item_index = _item_rows(events.get("item")[order].astype(np.int64), max_items)

    at = back[points.get("event").astype(np.int64)]
    tasks = points.get("tasks").astype(np.uint8)
    end_s, span_s = int(time_s.max()), int(time_s.max() - time_s.min())
    horizon_s = rules.churn_horizon_s or labels.churn_horizon_s(span_s)
    alive = np.isin(kinds, [int(kind) for kind in rules.churn_kinds])
    churn = labels.churn(
        user[at], time_s[at], user[alive], time_s[alive], horizon_s=horizon_s, log_end_s=end_s
    )
    churn[(tasks & Task.CHURN) == 0] = labels.UNKNOWN
    risk = labels.risk(
        points.get("message").astype(np.uint64),
        time_s[at],
        confirmed,
        label_delay_s=rules.label_delay_s,
        log_end_s=end_s,
    )
    risk[(tasks & Task.RISK) == 0] = labels.UNKNOWN
    gap_s = np.zeros_like(time_s)
    gap_s[:-1] = np.where(user[1:] == user[:-1], time_s[1:] - time_s[:-1], 0)
    corpus = Corpus(
        users=user,
        times_s=time_s,
        item_rows=rows,
        kinds=kinds,
        gaps=gap_buckets(gap_s),
        hours=(time_s // HOUR_S + EPOCH_HOUR) % WEEK_HOURS + 1,
        amounts=(np.sign(amount) * np.log1p(np.abs(amount))).astype(np.float32),
        points=Points(at, points.get("features").astype(np.float32), churn, risk),
    )
    return Samples(
        corpus=corpus,
        item_index=item_index,
        places=points.get("place").astype(np.int64),
        horizon_s=horizon_s,
        label_delay_s=rules.label_delay_s,
        log_end_s=end_s,
    )


def _item_rows(items: Ints, max_items: int) -> tuple[Ints, Ints]:
    """Model rows (n,) of the events' items, and the item behind each row but 0."""
    found, counts = np.unique(items[items >= 0], return_counts=True)
    if len(found) > max_items:
        found = np.sort(found[np.argsort(-counts, kind="stable")[:max_items]])
    place = np.searchsorted(found, items)
    known = (items >= 0) & (place < len(found))
    known[known] = found[place[known]] == items[known]
    return np.where(known, place + 1, 0), found

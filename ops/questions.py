"""Recommendation points kept from a rerun: what was known then, to ask a model again later."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from models import sequences
from models.candidates import Pool
from models.engine import Engine, Scores
from models.windows import Windows
from ops.rerun import Step
from streams.candidates import Suggestions
from streams.points import Task
from streams.pool import gather

Ints = npt.NDArray[np.int64]
BATCH = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """Q recommendation points as the worker saw them.

    Attributes
    ----------
    points
        int64 (Q,): their numbers among all points of the rerun.
    """

    points: Ints
    windows: Windows
    frame: pl.DataFrame
    suggestions: Suggestions

    def take(self, rows: Ints) -> Asked:
        """The questions at `rows`."""
        return Asked(
            self.points[rows],
            self.windows.take(rows),
            self.frame[rows],
            self.suggestions.take(rows),
        )


@dataclass(slots=True)
class Keeper:
    """Keeps a random share of the recommendation points from some record on.

    Parameters
    ----------
    first_event
        Events of the log before it are passed over.
    limit
        Most points kept, about: when twice as many are there, every other one goes.
    """

    first_event: int
    limit: int
    seed: int = 0
    _events: int = 0
    _points: int = 0
    _share: float = 1.0
    _parts: list[Asked] = field(default_factory=list)
    _kept: int = 0

    def see(self, step: Step) -> None:
        """Look at the next step of the rerun."""
        points = step.applied.points
        first = self._points
        self._points += len(points)
        self._events += len(step.columns)
        if self._events <= self.first_event:
            return
        rows = np.flatnonzero(points.asking(Task.RECOMMEND))
        rows = rows[self._lot(first + rows) < self._share]
        if not len(rows):
            return
        self._parts.append(
            Asked(
                first + rows,
                step.windows.take(rows),
                step.features[rows],
                step.live.suggestions.take(rows),
            )
        )
        self._kept += len(rows)
        if self._kept > 2 * self.limit:
            self._share /= 2
            self._parts = [p.take(np.flatnonzero(self._kept_by_lot(p))) for p in self._parts]
            self._kept = sum(len(part.points) for part in self._parts)

    def asked(self) -> Asked | None:
        """All that was kept, in the order of the rerun."""
        parts = [part for part in self._parts if len(part.points)]
        if not parts:
            return None
        return Asked(
            np.concatenate([part.points for part in parts]),
            Windows.concat([part.windows for part in parts]),
            pl.concat([part.frame for part in parts]),
            _joined([part.suggestions for part in parts]),
        )

    def _lot(self, points: Ints) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for each point, by its number and the seed alone."""
        mixed = (points.astype(np.uint64) + np.uint64(self.seed)) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53

    def _kept_by_lot(self, part: Asked) -> npt.NDArray[np.bool_]:
        return self._lot(part.points) < self._share


def pools(
    asked: Asked,
    engine: Engine,
    *,
    indices: npt.NDArray[np.int32],
    rows: Ints,
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
) -> Pool:
    """The candidates of every question, gathered as the worker does (`streams.pool.gather`)."""
    parts = []
    for start in range(0, len(asked.points), BATCH):
        part = asked.take(np.arange(start, min(start + BATCH, len(asked.points))))
        scores: Scores = engine.score(sequences.build(part.windows, part.frame, rows))
        parts.append(
            gather(
                part.windows,
                part.suggestions,
                scores,
                indices=indices,
                rows=rows,
                item_table=item_table,
                item_bias=item_bias,
            )
        )
    return Pool.concat(parts)


def _joined(parts: list[Suggestions]) -> Suggestions:
    names = Suggestions.__dataclass_fields__
    return Suggestions(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )

"""Recommendation points kept from a rerun: what was known then, to ask a model again later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from models.engines.engine import Engine, Scores
from models.features import model_inputs
from models.features.windows import Windows
from models.ranking.candidates import Pool
from ops.archive.rerun import Step
from ops.training.samples import Samples, lot
from schemas.column_rows import Columns
from streams.counters.suggestions import Suggestions
from streams.histories.decision_points import Task
from streams.recommendations.pool import gather

Ints = npt.NDArray[np.int64]
BATCH = 256


@dataclass(frozen=True, slots=True)
class Asked(Columns):
    """Q recommendation points as the worker saw them.

    Attributes
    ----------
    points
        int64 (Q,): their numbers among all points of the rerun; with `known_to`, their rows in
        the corpus.
    """

    points: Ints
    windows: Windows
    features: npt.NDArray[np.float64]
    suggestions: Suggestions

    def known_to(self, samples: Samples) -> Asked:
        """The questions at points that the corpus has."""
        at = samples.rows_of(self.points)
        rows = np.flatnonzero(at >= 0)
        return replace(self.take(rows), points=at[rows])


@dataclass(slots=True)
class Keeper:
    """Keeps a share of the recommendation points of a log's newest part.

    How long the log is shows at its end: what is older than the newest part of the log so far
    goes as the log goes on.

    Parameters
    ----------
    share
        Of the log's events, the newest.
    limit
        Most points kept, about: when twice as many are there, half of them go, by a hash of the
        message id.
    """

    share: float
    limit: int
    _events: int = 0
    _points: int = 0
    _lots: float = 1.0
    _parts: deque[_Part] = field(default_factory=deque)
    _kept: int = 0

    def see(self, step: Step, kept: Ints | None = None) -> None:
        """Look at the next step of the rerun; `kept` are the rows of its points to choose from."""
        points = step.applied.points
        first = self._points
        self._points += len(points)
        self._events += len(step.columns)
        rows = np.flatnonzero(points.asking(Task.RECOMMEND))
        if kept is not None:
            rows = rows[np.isin(rows, kept)]
        lots = lot(step.columns.message_hashes[points.rows[rows]])
        rows, lots = rows[lots < self._lots], lots[lots < self._lots]
        if len(rows):
            asked = Asked(
                first + rows,
                step.windows.take(rows),
                step.features[rows],
                step.live.suggestions.take(rows),
            )
            self._parts.append(_Part(self._events, lots, asked))
            self._kept += len(rows)
        while self._parts and self._parts[0].event <= (1 - self.share) * self._events:
            self._kept -= len(self._parts.popleft().lots)
        if self._kept > 2 * self.limit:
            self._lots /= 2
            self._parts = deque(part.below(self._lots) for part in self._parts)
            self._kept = sum(len(part.lots) for part in self._parts)

    def asked(self) -> Asked | None:
        """All that was kept, in the order of the rerun."""
        parts = [part.asked for part in self._parts if len(part.lots)]
        if not parts:
            return None
        return Asked.concat(parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one step gave.

    Attributes
    ----------
    event
        How many events of the log there were with it.
    lots
        float64 (Q,): each question's lot.
    """

    event: int
    lots: npt.NDArray[np.float64]
    asked: Asked

    def below(self, share: float) -> _Part:
        rows = np.flatnonzero(self.lots < share)
        return _Part(self.event, self.lots[rows], self.asked.take(rows))


def pools(
    asked: Asked,
    engine: Engine,
    *,
    indices: npt.NDArray[np.int32],
    rows: Ints,
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
) -> Pool:
    """The candidates of every question, gathered as the worker does (`pool.gather`)."""
    parts = []
    for start in range(0, len(asked.points), BATCH):
        part = asked.take(np.arange(start, min(start + BATCH, len(asked.points))))
        scores: Scores = engine.score(model_inputs.build(part.windows, part.features, rows))
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

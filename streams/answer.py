"""One loaded model bound to a worker's item table: probabilities and ranked candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from models import sequences
from models.candidates import Pool, candidate_features
from models.elementwise import log
from models.engine import Scores
from models.feature_table import FEATURES
from models.registry import Model
from models.sequences import ModelInputs
from models.windows import Windows
from streams.candidates import Suggestions
from streams.items import ItemTable
from streams.pool import gather
from streams.recommend import Candidates

COVISIT_WEIGHT = 1.0
COVISIT_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says about D decision points, and what it was asked.

    `probabilities` holds, by head, those of the points that ask for it, in order.
    """

    frame: pl.DataFrame
    inputs: ModelInputs
    scores: Scores
    probabilities: dict[str, npt.NDArray[np.float64]]


class BoundModel:
    """A model version and the worker's items in its rows.

    Parameters
    ----------
    model
        Loaded and verified.
    items
        The worker's table; the model's items get an index in it.
    """

    def __init__(self, model: Model, items: ItemTable) -> None:
        self.model = model
        self._items = items
        self._indices = np.concatenate(
            [np.array([-1], np.int32), items.indices(model.item_ids)]
        )  # model row -> item index
        self._rows = np.zeros(len(items), np.int64)  # item index -> model row
        known = np.flatnonzero(self._indices >= 0)
        self._rows[self._indices[known]] = known

    def inputs(self, windows: Windows, frame: pl.DataFrame) -> ModelInputs:
        """The network's inputs of D decision points."""
        return sequences.build(windows, frame, self._rows)

    def pool(self, scores: Scores, suggestions: Suggestions, windows: Windows) -> Pool:
        """The candidates of every source; all arguments are of the same D decision points."""
        return gather(
            windows,
            suggestions,
            scores,
            indices=self._indices,
            rows=self._rows,
            item_table=self.model.item_table,
            item_bias=self.model.item_bias,
        )

    def candidates(self, scores: Scores, suggestions: Suggestions, windows: Windows) -> Candidates:
        """The candidates of every source, scored; arguments as of `pool`."""
        return self.rank(self.pool(scores, suggestions, windows), suggestions, windows)

    def rank(self, pool: Pool, suggestions: Suggestions, windows: Windows) -> Candidates:
        """The pool's candidates, scored by the model's ranker.

        A version without a ranker scores by the network's log-probability plus the log of the
        counters' score.
        """
        if self.model.ranker is not None:
            ranked = self.model.ranker.score(candidate_features(pool, windows))
        else:
            more = pool.items.shape[1] - suggestions.scores.shape[1]
            counted = np.pad(suggestions.scores, ((0, 0), (0, more)))
            ranked = pool.engine + COVISIT_WEIGHT * log(counted + COVISIT_EPSILON)
        return Candidates(pool.items, ranked.astype(np.float32), pool.sources)


def usual_features(model: Model) -> npt.NDArray[np.float64]:
    """float64 (F,): the training median of each feature, its default where there is none."""
    medians = model.manifest.get("feature_medians", {})
    return np.array([medians.get(f.name, f.default) for f in FEATURES], np.float64)


def head_quantiles(model: Model, kind: str) -> dict[str, float]:
    """Calibrated probability by quantile of the model's validation; empty if not recorded."""
    quantiles: dict[str, float] = model.manifest.get("heads", {}).get(kind, {}).get("quantiles", {})
    return quantiles

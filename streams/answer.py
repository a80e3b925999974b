"""One loaded model bound to a worker's item table: probabilities and ranked candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from models import sequences
from models.engine import Scores
from models.feature_table import FEATURES
from models.registry import Model
from models.sequences import ModelInputs
from models.windows import Windows
from streams.candidates import Source, Suggestions
from streams.items import ItemTable
from streams.recommend import Candidates

COVISIT_WEIGHT = 1.0
COVISIT_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says about D decision points, and what it was asked."""

    frame: pl.DataFrame
    inputs: ModelInputs
    scores: Scores


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

    def candidates(self, scores: Scores, suggestions: Suggestions) -> Candidates:
        """The engine's candidates and the counters', ordered by both together.

        Log-probability of the network plus the log of the counters' score; an item that the
        network doesn't know counts as its least likely candidate.

        Parameters
        ----------
        scores, suggestions
            Of the same D decision points.
        """
        mine = self._indices[scores.candidates]  # (D, K)
        theirs = suggestions.items  # (D, S)
        floor = scores.scores.min(axis=1, keepdims=True, initial=0.0)
        rows = np.where(
            (theirs >= 0) & (theirs < len(self._rows)), self._rows_of(theirs), 0
        )  # (D, S)
        table, bias = self.model.item_table, self.model.item_bias
        logits = np.einsum("dk,dsk->ds", scores.queries, table[rows]) + bias[rows]
        logits = np.where(rows > 0, logits, floor)
        also = (mine[:, :, None] == theirs[:, None, :]).any(axis=2)  # (D, K) in both
        items = np.concatenate([theirs, np.where(also, -1, mine)], axis=1)
        network = np.concatenate([logits, scores.scores], axis=1)
        counted = np.concatenate([suggestions.scores, np.zeros_like(scores.scores)], axis=1)
        blended = network + COVISIT_WEIGHT * np.log(counted + COVISIT_EPSILON)
        sources = np.concatenate(
            [suggestions.sources, np.full(mine.shape, Source.MODEL, np.uint8)], axis=1
        )
        return Candidates(items, blended.astype(np.float32), sources)

    def _rows_of(self, items: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        if not len(self._rows):
            return np.zeros(items.shape, np.int64)
        return self._rows[np.clip(items, 0, len(self._rows) - 1)]


def usual_features(model: Model) -> npt.NDArray[np.float64]:
    """float64 (F,): the training median of each feature, its default where there is none."""
    medians = model.manifest.get("feature_medians", {})
    return np.array([medians.get(f.name, f.default) for f in FEATURES], np.float64)

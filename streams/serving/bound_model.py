"""A loaded model bound to a worker's item table: probabilities, ranked candidates, reasons.

All calls of the engine are in this module, and it checks every answer: a number that isn't finite
raises `EngineError`, and never becomes a probability or a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.elementwise import log
from models.engines.engine import Scores
from models.features import features, model_inputs
from models.features.model_inputs import ModelInputs
from models.features.table import FEATURES
from models.features.windows import Windows
from models.heads.stack import HEADS
from models.ranking.candidates import Pool, candidate_features
from models.registry.registry import Model
from schemas.errors import EngineError
from schemas.outputs import ReasonCode
from streams.alerts.explain import Explainer
from streams.counters.suggestions import Suggestions
from streams.histories.item_table import ItemTable
from streams.recommendations.pool import gather
from streams.recommendations.sent_lists import Candidates

COVISIT_WEIGHT = 1.0
COVISIT_EPSILON = 1e-3

Ints = npt.NDArray[np.intp]
Stage = Callable[[str], AbstractContextManager[None]]
"""Times a stage of a batch by its name."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The model's answers at D decision points, and its inputs.

    Attributes
    ----------
    features
        float64 (D, F): as `features.compute` gives them.
    inputs, scores
        The engine's inputs and answers, D rows.
    points
        By head: intp (n,), the decision points at which the head was asked.
    probabilities
        By head: float64 (n,), the calibrated probabilities at `points`; finite.
    """

    features: npt.NDArray[np.float64]
    inputs: ModelInputs
    scores: Scores
    points: Mapping[str, Ints]
    probabilities: dict[str, npt.NDArray[np.float64]]


class BoundModel:
    """A model version, with the mapping between its rows and the worker's items.

    Parameters
    ----------
    model
        Loaded and verified.
    items
        The worker's table; the model's items get an index in it.
    stage
        Times the stages of a batch.
    """

    def __init__(
        self, model: Model, items: ItemTable, stage: Stage = lambda _: nullcontext()
    ) -> None:
        self.model = model
        self._items = items
        self._stage = stage
        self._explainer = Explainer(_usual_features(model), self._what_if)
        self._indices = np.concatenate(
            [np.array([-1], np.int32), items.indices(model.item_ids)]
        )  # model row -> item index
        self._rows = np.zeros(len(items), np.int64)  # item index -> model row
        known = np.flatnonzero(self._indices >= 0)
        self._rows[self._indices[known]] = known
        items.hold(self)

    def held_items(self) -> npt.NDArray[np.int32]:
        """Indices that keep their item for as long as this model is bound."""
        return self._indices[1:]

    def answer(self, windows: Windows, points: Mapping[str, Ints]) -> Answers:
        """Call the engine at D decision points -> probabilities, and scores for candidates.

        Parameters
        ----------
        windows
            Of the D decision points, with the live counters filled in.
        points
            By head: intp (n,), the decision points that ask for the head.

        Raises
        ------
        EngineError
            The engine fails, or answers with numbers that aren't finite.
        """
        with self._stage("features"):
            found = features.compute(windows)
        with self._stage("sequences"):
            inputs = self.inputs(windows, found)
        with self._stage("engine"):
            scores = self._score(inputs)
        with self._stage("heads"):
            probabilities = {
                head: _finite(
                    self.model.probability(head, scores.take(at), inputs.features[at]), head
                )
                for head, at in points.items()
            }
        return Answers(found, inputs, scores, points, probabilities)

    def list_candidates(
        self, answers: Answers, points: Ints, suggestions: Suggestions, windows: Windows
    ) -> Candidates:
        """Scored candidates from all sources at n decision points.

        Parameters
        ----------
        answers
            Of all D decision points.
        points
            intp (n,): the decision points that ask for a list.
        suggestions, windows
            Of these n decision points.

        Raises
        ------
        EngineError
            A score isn't finite.
        """
        with self._stage("pool"):
            pool = self.pool(answers.scores.take(points), suggestions, windows)
        with self._stage("rank"):
            candidates = self.rank(pool, suggestions, windows)
            _finite(candidates.scores[candidates.items >= 0], "ranker")
        return candidates

    def explain(
        self, answers: Answers, heads: Sequence[str], points: Sequence[int]
    ) -> list[list[ReasonCode]]:
        """The reasons of n answers.

        Parameters
        ----------
        answers
            Of all D decision points.
        heads, points
            n head names, and the n decision points at which to explain them.

        Returns
        -------
        list
            n lists of reasons.

        Raises
        ------
        EngineError
            The engine fails, or answers with numbers that aren't finite.
        """
        if not points:
            return []
        with self._stage("explain"):
            return self._explainer.explain(
                answers.inputs.take(np.array(points, np.intp)),
                np.array([HEADS.index(head) for head in heads], np.intp),
                answers.features[list(points)],
            )

    def _score(self, inputs: ModelInputs) -> Scores:
        scores = self.model.engine.score(inputs)
        for column in fields(scores):
            _finite(getattr(scores, column.name), column.name)
        return scores

    def _what_if(
        self, inputs: ModelInputs, features: npt.NDArray[np.float32], heads: Ints
    ) -> npt.NDArray[np.float64]:
        logits = np.zeros(features.shape[:2])
        for number in np.unique(heads).tolist():
            rows, head = np.flatnonzero(heads == number), HEADS[number]
            logits[rows] = self.model.what_if(head, inputs.take(rows), features[rows])
            _finite(logits[rows], head)
        return logits

    def inputs(self, windows: Windows, values: npt.NDArray[np.float64]) -> ModelInputs:
        """The network's inputs of D decision points with their features (D, F)."""
        return model_inputs.build(windows, values, self._rows)

    def pool(self, scores: Scores, suggestions: Suggestions, windows: Windows) -> Pool:
        """Candidates from all sources; all arguments are of the same D decision points."""
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
        """Scored candidates from all sources; arguments as for `pool`."""
        return self.rank(self.pool(scores, suggestions, windows), suggestions, windows)

    def rank(self, pool: Pool, suggestions: Suggestions, windows: Windows) -> Candidates:
        """The pool's candidates, scored by the model's ranker.

        A version without a ranker scores by the network's log-probability plus the log of the
        counters' score.
        """
        if self.model.ranker is not None:
            ranked: npt.NDArray[np.floating] = self.model.ranker.score(
                candidate_features(pool, windows)
            )
        else:
            more = pool.items.shape[1] - suggestions.scores.shape[1]
            counted = np.pad(suggestions.scores, ((0, 0), (0, more)))
            ranked = pool.engine + COVISIT_WEIGHT * log(counted + COVISIT_EPSILON)
        return Candidates(pool.items, ranked.astype(np.float32), pool.sources)


def _finite(numbers: npt.NDArray[np.floating[Any]], name: str) -> npt.NDArray[Any]:
    """Return the numbers unchanged; raise `EngineError` with `name` if any isn't finite."""
    if not np.isfinite(numbers).all():
        wrong = int(numbers.size - np.isfinite(numbers).sum())
        raise EngineError(f"{name}: {wrong} of {numbers.size} numbers aren't finite")
    return numbers


def _usual_features(model: Model) -> npt.NDArray[np.float64]:
    """float64 (F,): the training median of each feature; the feature's default without one."""
    medians = model.manifest.get("feature_medians", {})
    return np.array([medians.get(f.name, f.default) for f in FEATURES], np.float64)


def head_quantiles(model: Model, kind: str) -> dict[str, float]:
    """Calibrated probability by quantile in the model's validation; empty if not recorded."""
    quantiles: dict[str, float] = model.manifest.get("heads", {}).get(kind, {}).get("quantiles", {})
    return quantiles

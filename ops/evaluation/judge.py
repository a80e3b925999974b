"""Answers every question as the worker would, and as each simple method would, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.engines.engine import Scores
from models.evaluation import metrics
from models.ranking.candidates import Pool, candidate_features
from models.ranking.ranker import Ranker
from ops.evaluation.report import HARK
from ops.training.questions import Asked
from ops.training.ranks import SIMPLE, ranks_by, ranks_of
from streams.counters.item_view import Part
from streams.counters.suggest import suggest
from streams.counters.suggestions import Source, Suggestions
from streams.serving.bound_model import BoundModel

Ints = npt.NDArray[np.int64]
BATCH = 256
SOURCES = {
    "network": Source.MODEL,
    "covisitation": Source.COVISITED,
    "popularity": Source.POPULAR,
    "own items": Source.OWN_RECENT,
}
"""Which candidates nobody but a part of `models.ranking.candidates.PARTS` proposed."""


@dataclass(slots=True)
class Judge:
    """Keeps the place of every target in every method's list.

    Parameters
    ----------
    bound
        The model version, as the worker holds it.
    without
        Rankers fitted without a part of the list, by the part's name.
    frozen
        By partition: item counters as they were when the version was made, ranked without the
        trend. Where there are none, nobody is asked with them.
    ranks
        By method, int64 (n,): `metrics.MISSING` until asked.
    own
        bool (n,): the target is in the user's window.
    proposed
        uint8 (n,): `Source` of the target among the candidates.
    """

    bound: BoundModel
    without: dict[str, Ranker]
    frozen: Mapping[int, Part]
    size: int
    ranks: dict[str, Ints] = field(default_factory=dict)
    own: npt.NDArray[np.bool_] = field(init=False)
    proposed: npt.NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        for method in (HARK, *SIMPLE):
            self._keep(method, np.empty(0, np.int64), np.empty(0, np.int64))
        self.own = np.zeros(self.size, np.bool_)
        self.proposed = np.zeros(self.size, np.uint8)

    def ask(self, asked: Asked, targets: Ints, places: Ints, partition: int) -> None:
        """Ask Q questions of one partition's users.

        Parameters
        ----------
        targets
            int64 (Q,): item index in the worker's table, -1 = not known there.
        places
            int64 (Q,): where the answers are kept.
        """
        for start in range(0, len(targets), BATCH):
            rows = np.arange(start, min(start + BATCH, len(targets)))
            self._ask(asked.take(rows), targets[rows], places[rows], partition)

    def _ask(self, asked: Asked, targets: Ints, places: Ints, partition: int) -> None:
        windows, model = asked.windows, self.bound.model
        scores = model.engine.score(self.bound.inputs(windows, asked.features))
        pool = self._rank(asked, asked.suggestions, scores, targets, places, "")
        found = (pool.items == targets[:, None]) & (targets >= 0)[:, None]
        self.proposed[places] = np.where(found, pool.sources, 0).max(axis=1, initial=0)
        self.own[places] = (windows.items == targets[:, None]).any(axis=1) & (targets >= 0)
        if self.frozen:
            then = Suggestions.none(*asked.suggestions.items.shape)
            suggest(windows, np.arange(len(windows)), self.frozen[partition], then)
            self._rank(asked, then, scores, targets, places, "_frozen")

    def _rank(
        self,
        asked: Asked,
        suggestions: Suggestions,
        scores: Scores,
        targets: Ints,
        places: Ints,
        suffix: str,
    ) -> Pool:
        windows = asked.windows
        pool = self.bound.pool(scores, suggestions, windows)
        features = candidate_features(pool, windows)
        if suffix and "trend" in self.without:  # who doesn't count can't know what is hot
            scored = self.without["trend"].score(features)
        else:
            scored = self.bound.rank(pool, suggestions, windows).scores
        self._keep(HARK + suffix, places, ranks_of(pool.items, scored, targets))
        for method in SIMPLE:
            self._keep(method + suffix, places, ranks_by(method, pool, features, targets))
        for part, ranker in self.without.items() if not suffix else ():
            barred = SOURCES.get(part, Source.NONE)
            left = np.where(pool.sources == barred, np.int32(-1), pool.items)
            found_at = ranks_of(left, ranker.score(features), targets)
            self._keep(f"without {part}", places, found_at)
        return pool

    def _keep(self, method: str, places: Ints, ranks: Ints) -> None:
        if method not in self.ranks:
            self.ranks[method] = np.full(self.size, metrics.MISSING)
        self.ranks[method][places] = ranks

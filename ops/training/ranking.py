"""Fit the ranker on the newest decisions, and measure the whole list against simple ones.

What is worth having is learnt on decisions in time: the older ones teach, the newer ones decide
how strongly weights are drawn to 0 and which parts of the list (`candidates.PARTS`) pay.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation import metrics
from models.ranking.candidates import CANDIDATE_FEATURES, PARTS, Pool, candidate_features
from models.ranking.ranker import Ranker
from models.registry.registry import Model
from models.training import fit_ranker
from models.training.build import Trained
from models.training.fit_ranker import PRIOR
from ops.training.questions import Asked, pools
from ops.training.ranks import SIMPLE, ranks_by, ranks_of
from ops.training.samples import Samples
from schemas.column_rows import Columns
from streams.histories.item_table import ItemTable
from streams.serving.bound_model import BoundModel

__all__ = [
    "Lessons",
    "Ranking",
    "answered",
    "choose",
    "fit_ranking",
    "learn",
    "measure",
    "rank_questions",
    "ranks_of",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
BATCH = 512
TEACH_SHARE = 0.65
"""Of the decisions, the oldest, that teach while the others choose."""
MORE = 1.005
"""What a list must gain without a part for the part to go: less is chance."""
RIDGES = (3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True)
class Lessons(Columns):
    """Q decisions in time order, their candidates, and the item each user went to next.

    Attributes
    ----------
    features
        float32 (Q, C, R).
    targets, users
        int64 (Q,): item index in the rerun's table, -1 = not known there; the user's number.
    """

    pool: Pool
    features: Floats
    targets: Ints
    users: Ints

    def __len__(self) -> int:
        return len(self.targets)

    def fit(self, without: Collection[str] = (), ridge: float = fit_ranker.RIDGE) -> Ranker:
        """The ranker these teach, without some of the `PARTS`."""
        barred = {name for part in without for name in PARTS[part]}
        return fit_ranker.fit(
            self.features, self.pool.items, self.targets, without=barred, ridge=ridge
        )

    def ranks(self, ranker: Ranker) -> Ints:
        """Place (Q,) of each target in the ranker's order."""
        return ranks_of(self.pool.items, ranker.score(self.features), self.targets)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A fitted ranker and how good the lists are.

    Attributes
    ----------
    ridge, without
        What the newer decisions chose: the pull to 0, and the parts that don't pay.
    """

    ranker: Ranker
    report: dict[str, Any]
    ridge: float = fit_ranker.RIDGE
    without: tuple[str, ...] = ()


def fit_ranking(samples: Samples, asked: Asked | None, trained: Trained, n_items: int) -> Ranking:
    """Choose on the newest decisions, measure there, then fit on all.

    Parameters
    ----------
    asked
        Recommendation points of the newest part of the log; those the network trained on are
        left out.
    n_items
        Size of the rerun's item table.
    """
    return choose(learn(samples, asked, trained, n_items))


def learn(samples: Samples, asked: Asked | None, trained: Trained, n_items: int) -> Lessons | None:
    """What the answered ones of the questions `asked` teach; None if there are none."""
    if asked is None:
        return None
    asked, targets, users = answered(samples, asked, since_s=trained.cut_s)
    if not len(targets):
        return None
    indices = np.concatenate([[-1], samples.item_index]).astype(np.int32)
    rows = np.zeros(n_items, dtype=np.int64)
    rows[samples.item_index] = np.arange(1, len(indices))
    pool = pools(
        asked,
        trained.engine,
        indices=indices,
        rows=rows,
        item_table=trained.fitted.item_table,
        item_bias=trained.fitted.item_bias,
    )
    features = np.concatenate(
        [
            candidate_features(pool.take(part), asked.windows.take(part))
            for start in range(0, len(targets), BATCH)
            for part in [np.arange(start, min(start + BATCH, len(targets)))]
        ]
    )
    return Lessons(pool, features, targets, users)


def choose(lessons: Lessons | None) -> Ranking:
    """The ranker of `lessons`, with what their newer part says about its parts."""
    if lessons is None:
        return Ranking(
            Ranker.from_json(dict.fromkeys(CANDIDATE_FEATURES, 0.0) | PRIOR), {"targets": 0}
        )
    teach = round(TEACH_SHARE * len(lessons))
    older, newer = lessons.take(np.arange(teach)), lessons.take(np.arange(teach, len(lessons)))

    def trial(without: tuple[str, ...], ridge: float) -> tuple[float, Ranker]:
        ranker = older.fit(without, ridge)
        return metrics.ndcg(newer.ranks(ranker)), ranker

    ridge = max(RIDGES, key=lambda ridge: trial((), ridge)[0])
    best, chosen = trial((), ridge)
    without: tuple[str, ...] = ()
    worth: dict[str, float] = {}
    for part in PARTS:
        found, other = trial((*without, part), ridge)
        worth[part] = best - found
        if found > MORE * best and len(without) < len(PARTS) - 1:
            best, chosen, without = found, other, (*without, part)
    report = measure(newer, chosen) | {"ridge": ridge, "worth": worth, "without": list(without)}
    return Ranking(lessons.fit(without, ridge), report, ridge, without)


def answered(
    samples: Samples, asked: Asked, *, since_s: int
) -> tuple[Asked, npt.NDArray[np.int64], Ints]:
    """The questions whose answer, another item right after them, came at or after `since_s`.

    Returns
    -------
    tuple
        The Q questions, the item index each user went to (Q,), and the users' numbers (Q,).
    """
    corpus = samples.corpus
    event = corpus.points.event[asked.points]
    place = np.full(len(corpus) + 1, -2, dtype=np.int64)  # in the users' time order
    order = corpus.in_time_order()
    place[order] = np.arange(len(order))
    following = corpus.following()[event]
    known = place[following] == place[event] + 1
    at = np.minimum(following, len(corpus) - 1)
    kept = np.flatnonzero(known & (corpus.times_s[at] >= since_s))
    targets = samples.item_index[corpus.item_rows[at[kept]] - 1]
    return asked.take(kept), targets, corpus.users[event[kept]]


def measure(lessons: Lessons, ranker: Ranker) -> dict[str, Any]:
    """HR@10 and NDCG@10 of the ranked pool and of what it is made of; a miss counts as 0."""
    pool, targets = lessons.pool, lessons.targets
    report: dict[str, Any] = {
        "targets": len(targets),
        "among_candidates": float((pool.items == targets[:, None]).any(axis=1).mean()),
    }
    ranks = {name: ranks_by(name, pool, lessons.features, targets) for name in SIMPLE}
    ranks["hark"] = lessons.ranks(ranker)
    for name, found in ranks.items():
        report[name] = {"hr_at_10": metrics.hit_rate(found), "ndcg_at_10": metrics.ndcg(found)}
    return report


def rank_questions(model: Model, items: ItemTable, asked: Asked, targets: Ints) -> Ints:
    """Place (Q,) of each target in the lists that the worker would have made with `model`.

    Two versions asked the same questions can be compared answer by answer.

    Parameters
    ----------
    items
        The rerun's table, that the questions' items are indices of.
    targets
        int64 (Q,): as `answered` gives them.
    """
    bound = BoundModel(model, items)
    ranks = [np.empty(0, np.int64)]
    for start in range(0, len(targets), BATCH):
        rows = np.arange(start, min(start + BATCH, len(targets)))
        part = asked.take(rows)
        scores = model.engine.score(bound.inputs(part.windows, part.features))
        pool = bound.pool(scores, part.suggestions, part.windows)
        found = bound.rank(pool, part.suggestions, part.windows)
        ranks.append(ranks_of(found.items, found.scores, targets[rows]))
    return np.concatenate(ranks)

"""Fit the ranker on the newest decisions, and measure the whole list against simple ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import metrics, ranker_fit
from models.build import Trained
from models.candidates import CANDIDATE_FEATURES, Pool, candidate_features
from models.corpus import next_distinct
from models.ranker import Ranker
from ops.questions import Asked, pools
from ops.samples import Samples

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
BATCH = 512


@dataclass(frozen=True, slots=True)
class Ranking:
    """A fitted ranker, None where too little could teach one, and how good the lists are."""

    ranker: Ranker | None
    report: dict[str, Any]


def fit_ranker(samples: Samples, asked: Asked | None, trained: Trained, n_items: int) -> Ranking:
    """Fit on the users of even number, measure on the others, then fit on all.

    Parameters
    ----------
    asked
        Recommendation points of the newest part of the log; those the network trained on are
        left out.
    n_items
        Size of the rerun's item table.
    """
    if asked is None:
        return Ranking(None, {"targets": 0})
    asked, targets, users = answered(samples, asked, since_s=trained.cut_s)
    if not len(targets):
        return Ranking(None, {"targets": 0})
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
    even = users % 2 == 0
    trial = ranker_fit.fit(features[even], pool.items[even], targets[even])
    report = measure(pool.take(~even), features[~even], targets[~even], trial)
    return Ranking(ranker_fit.fit(features, pool.items, targets) if trial else None, report)


def answered(
    samples: Samples, asked: Asked, *, since_s: int
) -> tuple[Asked, npt.NDArray[np.int64], Ints]:
    """The questions whose answer, the user's next distinct item, came at or after `since_s`.

    Returns
    -------
    tuple
        The Q questions, the item index each user went to (Q,), and the users' numbers (Q,).
    """
    corpus = samples.corpus
    event = corpus.points.event[asked.points]
    following = next_distinct(corpus.users, corpus.item_rows)[event]
    known = following < len(corpus)
    at = np.minimum(following, len(corpus) - 1)
    kept = np.flatnonzero(known & (corpus.times_s[at] >= since_s))
    targets = samples.item_index[corpus.item_rows[at[kept]] - 1]
    return asked.take(kept), targets, corpus.users[event[kept]]


def measure(pool: Pool, features: Floats, targets: Ints, ranker: Ranker | None) -> dict[str, Any]:
    """HR@10 and NDCG@10 of the ranked pool and of what it is made of; a miss counts as 0."""
    names = {"own_recent": "own_place", "covisitation": "near", "network": "engine"}
    orders: dict[str, Floats] = {name: _column(features, of) for name, of in names.items()}
    if ranker is not None:
        orders["hark"] = ranker.score(features)
    report: dict[str, Any] = {
        "targets": len(targets),
        "among_candidates": float((pool.items == targets[:, None]).any(axis=1).mean()),
    }
    for name, scores in orders.items():
        ranks = ranks_of(
            pool.items, scores, targets, positive=name in ("own_recent", "covisitation")
        )
        report[name] = {"hr_at_10": metrics.hit_rate(ranks), "ndcg_at_10": metrics.ndcg(ranks)}
    return report


def ranks_of(
    items: npt.NDArray[np.int32], scores: Floats, targets: Ints, *, positive: bool = False
) -> Ints:
    """Rank (Q,) of each target by score, from 1, `metrics.MISSING` where it isn't a candidate.

    Equal scores keep the candidates' order; with `positive` only scores above 0 are listed.
    """
    match = items == targets[:, None]
    listed = items >= 0
    if positive:
        listed &= scores > 0
    match &= listed
    place = match.argmax(axis=1)
    own = np.take_along_axis(scores, place[:, None], axis=1)
    ahead = (scores > own) | ((scores == own) & (np.arange(items.shape[1]) < place[:, None]))
    ranks = (ahead & listed).sum(axis=1) + 1
    return np.where(match.any(axis=1), ranks, metrics.MISSING)


def _column(features: Floats, name: str) -> Floats:
    return features[:, :, list(CANDIDATE_FEATURES).index(name)]

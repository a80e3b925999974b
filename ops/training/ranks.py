"""Where the item that came next stands in a list of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation import metrics
from models.ranking.candidates import CANDIDATE_FEATURES, Pool

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]

SIMPLE = {"own_recent": "own_place", "covisitation": "near", "network": "engine_place"}
"""Methods that are one column of the features, and list what it is above 0 for."""


def ranks_of(
    items: npt.NDArray[np.int32], scores: Floats, targets: Ints, *, positive: bool = False
) -> Ints:
    """Rank (Q,) of each target by score, from 1, `metrics.MISSING` where it isn't a candidate.

    Equal scores keep the candidates' order; with `positive` only scores above 0 are listed.

    Parameters
    ----------
    items, scores
        (Q, C); an item of -1 is none.
    targets
        int64 (Q,): -1 is nobody's candidate.
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


def ranks_by(method: str, pool: Pool, features: Floats, targets: Ints) -> Ints:
    """The same by one of the `SIMPLE` methods alone."""
    column = features[:, :, list(CANDIDATE_FEATURES).index(SIMPLE[method])]
    return ranks_of(pool.items, column, targets, positive=True)

"""Fit the ranker's weights, on decisions later than the network's training.

Conditional logit: among the candidates of a decision, the chance of each is its share of
exp(weights · features). A decision teaches nothing if the next item isn't among its candidates.

References
----------
McFadden, "Conditional logit analysis of qualitative choice behavior", 1974.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.ranking.candidates import CANDIDATE_FEATURES
from models.ranking.ranker import Ranker

RIDGE = 10.0
MIN_DECISIONS = 50
MAX_DECISIONS = 3_000
"""Of more decisions, so many are taken, evenly spread: there are only a few dozen weights."""
MAX_STEPS = 60
NONE = -1e9
PRIOR = {
    "near_share": 3.0,
    "near_place": 1.0,
    "own_decay": 3.0,
    "own_waits_viewing": 1.0,
    "own_purchase": -2.0,
    "popular": 0.3,
    "engine_place": 0.5,
}
"""Weights before any decision is seen; they order candidates about as the counters do."""


def fit(
    features: npt.NDArray[np.float32],
    items: npt.NDArray[np.int32],
    targets: npt.NDArray[np.int64],
    *,
    without: Collection[str] = (),
    ridge: float = RIDGE,
) -> Ranker:
    """Fit the most likely weights, drawn towards `PRIOR`; with too few decisions, return `PRIOR`.

    Parameters
    ----------
    features
        float32 (D, C, R), columns `candidates.CANDIDATE_FEATURES`.
    items
        int32 (D, C), -1 = no candidate.
    targets
        int64 (D,): the item that the user went to next, -1 = none.
    without
        Features whose weight stays 0.
    ridge
        Strength of the pull towards `PRIOR`, for features scaled to a standard deviation of 1.
    """
    match = (items == targets[:, None]) & (items >= 0)
    teach = match.any(axis=1)
    barred = np.array([name in without for name in CANDIDATE_FEATURES])
    prior = np.array([PRIOR.get(name, 0.0) for name in CANDIDATE_FEATURES], np.float32)
    prior[barred] = 0.0
    if teach.sum() < MIN_DECISIONS:
        return Ranker(prior)
    rows = np.flatnonzero(teach)
    rows = rows[:: -(-len(rows) // MAX_DECISIONS)]
    x = torch.from_numpy(features[rows])  # (T, C, R)
    chosen = torch.from_numpy(match[rows].argmax(axis=1))
    absent = torch.from_numpy(items[rows] < 0)
    real = ~absent
    spread = x[real].std(dim=0)
    scale = torch.where(spread > 1e-6, 1.0 / spread.clamp(min=1e-6), torch.zeros_like(spread))
    scale[barred] = 0.0
    scaled = x * scale
    start = torch.from_numpy(prior) * spread
    weights = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([weights], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        scores = (scaled @ weights).masked_fill(absent, NONE)
        loss = torch.nn.functional.cross_entropy(scores, chosen, reduction="sum")
        loss = (loss + ridge * (weights - start).square().sum()) / len(chosen)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    found = (weights.detach() * scale).numpy()
    return Ranker(found.astype(np.float32))

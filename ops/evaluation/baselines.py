"""The simplest list: what is most popular at that moment, over the whole catalogue."""

from __future__ import annotations

import numpy as np

from models.evaluation import metrics
from ops.baselines import popularity_ranks
from ops.evaluation.timeline import Ints, Timeline

HOUR_S = 3_600.0
TAUS_S = {
    "1 h": HOUR_S,
    "6 h": 6 * HOUR_S,
    "1 d": 24 * HOUR_S,
    "7 d": 168 * HOUR_S,
    "30 d": 720 * HOUR_S,
    "90 d": 2_160 * HOUR_S,
    "never": float("inf"),
}
"""Decays that a popularity list may have."""
TRIALS = 1_000


def best_tau(timeline: Timeline, targets: Ints) -> str:
    """The decay of `TAUS_S` with the best NDCG@10 on a sample of `targets`."""
    step = max(1, len(targets) // TRIALS)
    return max(
        TAUS_S, key=lambda name: metrics.ndcg(ranks(timeline, targets[::step], TAUS_S[name]))
    )


def ranks(timeline: Timeline, targets: Ints, tau_s: float, *, until: int | None = None) -> Ints:
    """Place (Q,) of each target's item by decayed events up to the question.

    The user's last item is left out of the list, as from every other one; for a user's first
    event, everything before it counts. Equal counts share the best place of them all.

    Parameters
    ----------
    targets
        int64 (Q,): rows of the timeline, ascending.
    until
        Events from this row on aren't counted: a list that was made once.
    """
    asked_at = timeline.asked_at[targets]
    known = np.where(asked_at >= 0, asked_at + 1, targets)
    known = np.minimum(known, len(timeline) if until is None else until)
    current = np.where(asked_at >= 0, timeline.items[asked_at], -1)
    return popularity_ranks(
        timeline.items, timeline.times_s, known, current, timeline.items[targets], tau_s=tau_s
    )

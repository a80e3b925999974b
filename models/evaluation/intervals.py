"""Figures with intervals: a measure over many answers and its uncertainty.

Intervals are percentiles of a bootstrap over users, not over answers: a user's answers resemble
each other, and an interval that ignores this is too narrow.

References
----------
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation import metrics

ROUNDS = 1_000
"""Resamples for a mean."""
SORTED_ROUNDS = 200
"""Resamples for a measure that sorts the answers."""
LEVEL = 0.95
CUTOFFS = (5, 10, 20)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and the bounds of its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f}-{self.high:.4f})"


def mean(values: npt.NDArray[Any], users: Ints, seed: int = 0) -> Figure:
    """Mean of `values` (n,), resampled over `users` (n,)."""
    user, size = _dense(users)
    sums = np.bincount(user, values, size)
    counts = np.bincount(user, minlength=size).astype(np.float64)
    drawn = [
        float(weights @ sums) / max(float(weights @ counts), 1.0)
        for weights in _resamples(size, ROUNDS, seed)
    ]
    return _figure(float(np.mean(values)) if len(values) else 0.0, drawn)


def difference(
    ours: npt.NDArray[Any], theirs: npt.NDArray[Any], users: Ints, seed: int = 0
) -> Figure:
    """Mean of `ours - theirs` (n,): an interval above 0 means that ours are better."""
    return mean(np.asarray(ours, np.float64) - theirs, users, seed)


def ranking(ranks: Ints, users: Ints, seed: int = 0) -> dict[str, Figure]:
    """`hr_at_K`, `ndcg_at_K`, `mrr_at_K` for K of `CUTOFFS`.

    Parameters
    ----------
    ranks
        int64 (n,): place of each target from 1, `metrics.MISSING` where it isn't listed.
    users
        int64 (n,): the user of each target.
    """
    return rankings({"": ranks}, users, seed)[""]


def rankings(ranks: Mapping[str, Ints], users: Ints, seed: int = 0) -> dict[str, dict[str, Figure]]:
    """`ranking` of several methods that answered the same questions, on the same resamples."""
    measures = {"hr": metrics.hits, "ndcg": metrics.gains, "mrr": metrics.reciprocals}
    names = [f"{name}_at_{k}" for k in CUTOFFS for name in measures]
    user, size = _dense(users)
    counts = np.bincount(user, minlength=size).astype(np.float64)
    values = [
        np.bincount(user, gain(found, k), size)
        for found in ranks.values()
        for k in CUTOFFS
        for gain in measures.values()
    ]
    sums = np.stack(values, axis=1) if values else np.zeros((size, 0))  # (users, methods * names)
    drawn = [(w @ sums) / max(float(w @ counts), 1.0) for w in _resamples(size, ROUNDS, seed)]
    means = sums.sum(axis=0) / max(len(users), 1)
    figures = [
        _figure(float(means[i]), [float(draw[i]) for draw in drawn]) for i in range(sums.shape[1])
    ]
    width = len(names)
    return {
        method: dict(zip(names, figures[width * i : width * (i + 1)], strict=True))
        for i, method in enumerate(ranks)
    }


def probabilities(
    scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_], users: Ints, seed: int = 0
) -> dict[str, Figure]:
    """`auc`, `average_precision`, `brier` and `ece` of calibrated probabilities (n,).

    A resample takes every answer of a user as often as the user is drawn.
    """
    measures: Mapping[str, Callable[..., float | None]] = {
        "auc": metrics.auc,
        "average_precision": metrics.average_precision,
        "brier": metrics.brier,
        "ece": metrics.ece,
    }
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for rows in _answers(users, seed):
        for name, measure in measures.items():
            value = measure(scores[rows], labels[rows])
            if value is not None:
                drawn[name].append(value)
    figures = {}
    for name, measure in measures.items():
        value = measure(scores, labels)
        if value is not None:
            figures[name] = _figure(value, drawn[name])
    return figures


def at_budget(
    scores: npt.NDArray[Any],
    labels: npt.NDArray[np.bool_],
    users: Ints,
    budget: float,
    seed: int = 0,
) -> dict[str, Figure]:
    """`precision_at_budget` and `recall_at_budget`.

    Parameters
    ----------
    budget
        Share of all answers, 0-1, that may be alerts: those with the highest scores.
    """
    alerts = max(1, round(budget * len(scores)))

    def caught(rows: Ints) -> float:
        best = rows[np.argsort(-scores[rows], kind="stable")[:alerts]]
        return float(labels[best].sum())

    def recall(rows: Ints) -> float:
        return caught(rows) / max(float(labels[rows].sum()), 1.0)

    return {
        "precision_at_budget": resampled(lambda rows: caught(rows) / alerts, users, seed),
        "recall_at_budget": resampled(recall, users, seed),
    }


def resampled(measure: Callable[[Ints], float], users: Ints, seed: int = 0) -> Figure:
    """Compute `measure` on all rows, and its interval on resamples of the users.

    Parameters
    ----------
    measure
        Takes row numbers int64 (m,).
    """
    drawn = [measure(rows) for rows in _answers(users, seed)]
    return _figure(measure(np.arange(len(users))), drawn)


def _figure(value: float, drawn: list[float]) -> Figure:
    if not drawn:
        return Figure(value, value, value)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high))


def _dense(users: Ints) -> tuple[Ints, int]:
    found, user = np.unique(users, return_inverse=True)
    return user.astype(np.int64), len(found)


def _resamples(size: int, rounds: int, seed: int) -> Iterator[Floats]:
    """Yield how often each of `size` users is drawn in a round: float64 (size,)."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds if size else 0):
        drawn = rng.integers(0, size, size)
        yield np.bincount(drawn, minlength=size).astype(np.float64)


def _answers(users: Ints, seed: int) -> Iterator[Ints]:
    """Yield the rows of the drawn users' answers, one array a round."""
    user, size = _dense(users)
    for weights in _resamples(size, SORTED_ROUNDS, seed):
        yield np.repeat(np.arange(len(user)), weights[user].astype(np.int64))

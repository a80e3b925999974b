"""Measures of ranking and of probabilities, each on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

ECE_BINS = 15
MISSING = np.iinfo(np.int64).max
"""Rank of a target that the list lacks."""


def hits(ranks: npt.NDArray[np.int64], k: int) -> Floats:
    """1 where the target is among the first `k` -> float64 (n,)."""
    return (ranks <= k).astype(np.float64)


def gains(ranks: npt.NDArray[np.int64], k: int) -> Floats:
    """1 / log2(1 + rank) within the first `k`: NDCG of one relevant item -> float64 (n,)."""
    within = np.minimum(ranks, k).astype(np.float64)
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + within), 0.0)


def reciprocals(ranks: npt.NDArray[np.int64], k: int) -> Floats:
    """1 / rank within the first `k` -> float64 (n,)."""
    return np.where(ranks <= k, 1.0 / np.minimum(ranks, k), 0.0)


def hit_rate(ranks: npt.NDArray[np.int64], k: int = 10) -> float:
    """Share of targets among the first `k`; ranks (n,) count from 1, `MISSING` is never a hit."""
    return float(hits(ranks, k).mean()) if len(ranks) else 0.0


def ndcg(ranks: npt.NDArray[np.int64], k: int = 10) -> float:
    """Mean of `gains`: NDCG@k where each question has one relevant item."""
    return float(gains(ranks, k).mean()) if len(ranks) else 0.0


def mrr(ranks: npt.NDArray[np.int64]) -> float:
    """Mean reciprocal rank."""
    found = ranks != MISSING
    return float(np.where(found, 1.0 / np.maximum(ranks, 1), 0.0).mean()) if len(ranks) else 0.0


def popular_first(counts: Values) -> npt.NDArray[np.int64]:
    """Place (N,) of each item by its count, from 1; among equal counts the lower id comes first.

    Examples
    --------
    >>> popular_first(np.array([2, 7, 2])).tolist()
    [2, 1, 3]
    """
    places = np.empty(len(counts), np.int64)
    places[np.argsort(-counts.astype(np.float64), kind="stable")] = np.arange(1, len(counts) + 1)
    return places


def auc(scores: Values, labels: Bools) -> float | None:
    """Chance that a positive scores above a negative, ties half; None without both classes."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each tied group
    total = float(middle[group][labels].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(scores: Values, labels: Bools) -> float | None:
    """Area under the precision-recall steps, ties as one step; None without both classes."""
    if not labels.any() or labels.all():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    precision = hits[last] / (last + 1)
    recall = hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def brier(probabilities: Values, labels: Bools) -> float:
    """Mean squared error of the probabilities (n,)."""
    return float(((probabilities - labels) ** 2).mean())


def ece(probabilities: Values, labels: Bools) -> float:
    """Expected calibration error over `ECE_BINS` bins of equal mass."""
    bins = np.array_split(np.argsort(probabilities, kind="stable"), ECE_BINS)
    gaps = [
        abs(float(probabilities[part].mean() - labels[part].mean())) * len(part)
        for part in bins
        if len(part)
    ]
    return sum(gaps) / max(len(labels), 1)

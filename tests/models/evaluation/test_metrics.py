"""Measures against small examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import metrics

RANKS = np.array([1, 3, 11, metrics.MISSING])


def test_ranking_measures() -> None:
    assert metrics.hit_rate(RANKS) == 0.5
    assert metrics.ndcg(RANKS) == pytest.approx((1 + 0.5) / 4)
    assert metrics.mrr(RANKS) == pytest.approx((1 + 1 / 3 + 1 / 11) / 4)
    assert metrics.hit_rate(np.zeros(0, dtype=np.int64)) == 0.0


def test_auc_counts_ties_half() -> None:
    labels = np.array([True, False, True, False])
    assert metrics.auc(np.array([2.0, 1.0, 3.0, 2.0]), labels) == 3.5 / 4
    assert metrics.auc(np.zeros(4), labels) == 0.5
    assert metrics.auc(np.zeros(2), np.array([True, True])) is None


def test_average_precision_takes_tied_scores_as_one_step() -> None:
    labels = np.array([True, False, True])
    assert metrics.average_precision(np.array([3.0, 2.0, 1.0]), labels) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert metrics.average_precision(np.zeros(3), labels) == pytest.approx(2 / 3)


def test_calibration_measures() -> None:
    labels = np.array([True, False] * 300)
    assert metrics.ece(np.full(600, 0.5), labels) == pytest.approx(0.0)
    assert metrics.ece(np.full(600, 0.8), labels) == pytest.approx(0.3)
    assert metrics.brier(np.full(600, 0.5), labels) == 0.25

"""Figures with intervals: they hold what they should, and users count as one."""

from __future__ import annotations

import numpy as np

from models.evaluation import intervals, metrics
from ops.evaluation.report import Report, Row


def test_a_mean_lies_in_its_interval_which_narrows_with_more_users() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.random(50), rng.random(5_000)
    narrow = intervals.mean(many, np.arange(5_000))
    wide = intervals.mean(few, np.arange(50))
    assert narrow.low < narrow.value < narrow.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5


def test_answers_of_one_user_count_together() -> None:
    rng = np.random.default_rng(2)
    per_user = rng.random(100)
    repeated = np.repeat(per_user, 50)
    honest = intervals.mean(repeated, np.repeat(np.arange(100), 50))
    naive = intervals.mean(repeated, np.arange(5_000))
    assert honest.high - honest.low > 4 * (naive.high - naive.low)


def test_ranking_figures_are_the_measures_themselves() -> None:
    ranks = np.array([1, 3, 11, metrics.MISSING, 10], np.int64)
    figures = intervals.ranking(ranks, np.arange(5))
    assert figures["hr_at_10"].value == metrics.hit_rate(ranks)
    assert figures["ndcg_at_10"].value == metrics.ndcg(ranks)
    assert figures["mrr_at_5"].value == (1 + 1 / 3) / 5


def test_probability_figures_are_the_measures_themselves() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(2_000)
    labels = rng.random(2_000) < scores
    figures = intervals.probabilities(scores, labels, np.arange(2_000) // 4)
    assert figures["auc"].value == metrics.auc(scores, labels)
    assert figures["average_precision"].low < figures["average_precision"].value
    assert figures["brier"].value < 0.25
    assert figures["ece"].value < 0.05


def test_a_report_says_the_same_in_json_and_markdown() -> None:
    row = Row("hark", {"hr_at_10": intervals.Figure(0.5, 0.4, 0.6)})
    report = Report("mine", "how", [row], slices={"cold items": [row]})
    assert report.to_json()["results"] == [
        {"method": "hark", "hr_at_10": {"value": 0.5, "low": 0.4, "high": 0.6}}
    ]
    assert "| hark | 0.5000 (0.4000-0.6000) |" in report.to_markdown()

"""Labels: what happened after a decision point, and what can't be known yet."""

from __future__ import annotations

import numpy as np

from models.training import labels

DAY = labels.DAY_S


def churn_of(point_times: list[int], event_times: list[int], *, end: int) -> list[int]:
    return labels.churn(
        np.zeros(len(point_times), dtype=np.int64),
        np.array(point_times) * DAY,
        np.zeros(len(event_times), dtype=np.int64),
        np.array(event_times) * DAY,
        horizon_s=10 * DAY,
        log_end_s=end * DAY,
    ).tolist()


def test_silence_for_the_horizon_is_churn() -> None:
    assert churn_of([0, 5, 20], [0, 5, 20], end=40) == [0, 1, 1]


def test_an_event_exactly_at_the_horizon_is_a_sign_of_life() -> None:
    assert churn_of([0], [0, 10], end=40) == [0]


def test_a_horizon_past_the_end_is_unknown_even_if_the_user_came_back() -> None:
    assert churn_of([0, 31, 33], [0, 31, 33], end=40) == [1, -1, -1]


def test_another_users_event_is_no_sign_of_life() -> None:
    found = labels.churn(
        np.array([0, 1]),
        np.array([0, 0]),
        np.array([0, 1, 1]),
        np.array([0, 0, 5 * DAY]),
        horizon_s=10 * DAY,
        log_end_s=40 * DAY,
    )
    assert found.tolist() == [1, 0]


def test_churn_equals_the_definition_on_random_logs() -> None:
    rng = np.random.default_rng(3)
    users, times = rng.integers(0, 5, 200), rng.integers(0, 100, 200)
    found = labels.churn(users, times, users, times, horizon_s=7, log_end_s=99)
    for user, time, label in zip(users, times, found, strict=True):
        mine = times[users == user]
        wanted = -1 if time + 7 > 99 else int(not ((mine > time) & (mine <= time + 7)).any())
        assert label == wanted


def test_without_counted_events_everyone_is_gone() -> None:
    none = np.zeros(0, dtype=np.int64)
    found = labels.churn(np.array([0]), np.array([0]), none, none, horizon_s=5, log_end_s=9)
    assert found.tolist() == [1]


def test_unconfirmed_payments_younger_than_the_delay_are_unknown() -> None:
    found = labels.risk(
        np.array([11, 12, 13, 14], dtype=np.uint64),
        np.array([0, 0, 9, 9]) * DAY,
        np.array([11, 13], dtype=np.uint64),
        label_delay_s=7 * DAY,
        log_end_s=10 * DAY,
    )
    assert found.tolist() == [1, 0, 1, -1]


def test_the_default_horizon_follows_the_logs_span() -> None:
    assert labels.churn_horizon_s(3 * DAY) == DAY
    assert labels.churn_horizon_s(120 * DAY) == 20 * DAY
    assert labels.churn_horizon_s(5_000 * DAY) == 90 * DAY


def test_training_labels_are_known_when_validation_starts() -> None:
    times = np.arange(1000) * 3_600
    known = np.where(np.arange(1000) % 5 == 0, labels.UNKNOWN, 0).astype(np.int8)
    train, validation = labels.split(times, known, gap_s=100 * 3_600)
    assert train.any()
    assert validation.any()
    assert not (train & validation).any()
    assert not (train | validation)[known == labels.UNKNOWN].any()
    assert times[train].max() + 100 * 3_600 <= times[validation].min()


def test_a_purge_longer_than_the_log_still_leaves_training_points() -> None:
    times = np.arange(100) * 3_600
    train, validation = labels.split(times, np.zeros(100, np.int8), gap_s=10**9)
    assert 20 < train.sum() < 60
    assert times[train].max() < times[validation].min()

"""The fraud protocol: who is asked, what is known by then, and which cards count."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.table import NAMES
from models.training.corpus import Corpus, Points, until
from ops.evaluation import card_fraud
from ops.evaluation.card_fraud import card_precision

FIRST = card_fraud.TEST_DAY
DAY_S = 86_400


def corpus(payments: list[tuple[int, int, int]]) -> Corpus:
    """(card, day, label) of each payment, sorted by card and day."""
    card, day, risk = (np.array(column) for column in zip(*sorted(payments), strict=True))
    n = len(card)
    zeros = np.zeros(n, np.int64)
    return Corpus(
        card, day * DAY_S + 7, zeros, zeros, zeros, zeros, np.zeros(n, np.float32),
        Points(
            np.arange(n),
            np.zeros((n, len(NAMES)), np.float32),
            np.full(n, -1, np.int8),
            risk.astype(np.int8),
        ),
    )  # fmt: skip


def asked(payments: list[tuple[int, int, int]], number: int = 0) -> set[tuple[int, int]]:
    """(card, day) of the payments asked in a week."""
    world = corpus(payments)
    week = list(card_fraud._weeks(world))[number]
    at = world.points.event[week.test]
    days = (world.times_s[at] // DAY_S).tolist()
    return set(zip(world.users[at].tolist(), days, strict=True))


def test_a_card_is_asked_until_its_fraud_is_a_week_and_a_day_old() -> None:
    week = [(1, FIRST + day, 0) for day in range(7)]
    everything = {(1, FIRST + day) for day in range(7)}
    assert asked(week) == everything
    assert asked([*week, (1, FIRST - 5, 1)]) == {(1, FIRST + day) for day in range(3)}
    assert asked([*week, (1, FIRST - 14, 1)]) == set()
    assert asked([*week, (1, FIRST - 15, 1)]) == everything  # before the handbook's training week
    assert asked([*week, (1, FIRST + 2, 1)]) == everything


def test_what_teaches_was_known_and_what_validates_comes_a_week_later() -> None:
    payments = [(card, FIRST - day, card % 2) for card in range(40) for day in range(1, 60)]
    world = corpus(payments)
    for number, week in enumerate(card_fraud._weeks(world)):
        day = world.times_s[world.points.event] // DAY_S
        known = week.first_day - card_fraud.DELAY_DAYS
        both = week.training | week.validation
        if both.any():
            assert day[both].max() < known
            assert day[both].min() >= known - card_fraud.KNOWN_DAYS
        if number == 0:
            assert day[week.validation].min() - day[week.training].max() >= card_fraud.DELAY_DAYS
            taught = len(np.unique(day[week.training]))
            assert 21 <= taught <= 28
        assert week.first_day == FIRST + 7 * number


def test_a_corpus_cut_in_time_keeps_its_points() -> None:
    world = corpus([(1, FIRST, 0), (1, FIRST + 3, 1), (2, FIRST + 1, 1), (2, FIRST + 9, 0)])
    part = until(world, (FIRST + 3) * DAY_S)
    assert part.users.tolist() == [1, 2]
    assert part.points.event.tolist() == [0, 1]
    assert part.points.risk.tolist() == [0, 1]


def test_card_precision_counts_cards_once_and_found_ones_no_more() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.1])
    labels = np.array([True, True, False, True, True, False, True])
    cards = np.array([1, 1, 2, 3, 1, 2, 4])
    days = np.array([0, 0, 0, 0, 1, 1, 1])
    # Day 0: cards 1 and 2 lead, one is stolen. Day 1: card 1 is gone, 2 and 4 lead, one is stolen.
    assert card_precision(scores, labels, cards, days, top=2) == pytest.approx(0.5)
    assert card_precision(scores, labels, cards, days, top=3) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_a_card_drawn_twice_takes_two_places() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    cards, days = np.array([1, 2, 3]), np.zeros(3, np.int64)
    drawn = np.array([0, 0, 1])
    assert card_precision(scores, labels, cards, days, drawn, top=2) == 1.0
    assert card_precision(scores, labels, cards, days, np.array([1, 1, 2]), top=2) == 0.0

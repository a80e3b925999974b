"""A pass asks every question once, in batches that processes can share."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.dataset import Goals, Pass, one_pass
from tests.models import world
from tests.models.training.test_train import split_of

TOKENS = 300


def planned(seed: int | None) -> Pass:
    corpus = world.corpus(users=30, events=25)
    goals = Goals.training(corpus, split_of(corpus))
    rng = None if seed is None else np.random.default_rng(seed)
    return one_pass(corpus, goals, length=16, tokens=TOKENS, rng=rng)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_question_is_asked_once_and_every_point_is_there(seed: int | None) -> None:
    whole = planned(seed)
    batches = [whole.batch(number) for number in range(len(whole))]
    asked = np.sort(np.concatenate([batch.targets.numpy() for batch in batches]))
    wanted = whole.goals.target_rows[whole.goals.target_rows > 0]
    assert np.array_equal(asked, np.sort(wanted))
    rows = np.sort(np.concatenate([batch.point_rows.numpy() for batch in batches]))
    assert np.array_equal(rows, np.arange(len(whole.corpus.points.event)))


def test_batches_keep_to_their_budget() -> None:
    whole = planned(0)
    assert max(whole.batch(number).item_rows.numel() for number in range(len(whole))) <= TOKENS


def test_labels_and_features_are_the_points_own() -> None:
    whole = planned(0)
    batch, points = whole.batch(0), whole.corpus.points
    rows = batch.point_rows.numpy()
    assert np.array_equal(batch.features.numpy(), points.features[rows])
    hidden = np.flatnonzero(~split_of(whole.corpus).train_risk)
    assert (whole.goals.risk[hidden] == -1).all()
    assert np.array_equal(batch.risk.numpy(), whole.goals.risk[rows])


def test_the_same_seed_plans_the_same_pass() -> None:
    one, same, other = planned(0), planned(0), planned(1)
    assert all(np.array_equal(a, b) for a, b in zip(one.parts, same.parts, strict=True))
    assert not np.array_equal(one.sizes, other.sizes)


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_a_batch_between_them(size: int) -> None:
    whole = planned(0)
    for number in range(len(whole)):
        shares = [whole.batch(number, rank, size) for rank in range(size)]
        together = np.sort(np.concatenate([share.targets.numpy() for share in shares]))
        assert np.array_equal(together, np.sort(whole.batch(number).targets.numpy()))


def test_a_process_without_a_share_asks_nothing() -> None:
    whole = planned(0)
    lone = Pass(whole.corpus, whole.goals, whole.starts, whole.sizes, [whole.parts[0][:1]])
    nothing = lone.batch(0, 1, 2)
    assert nothing.item_rows.numel()
    assert not nothing.targets.numel()
    assert not nothing.points.numel()

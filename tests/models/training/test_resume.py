"""A training run that is killed goes on from its checkpoint and comes out the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from models.training import train
from models.training.corpus import Corpus
from models.training.train import Fitted, Settings
from tests.models import world
from tests.models.training.test_train import N_ITEMS, split_of

RUN = Settings(epochs=3, batch_tokens=512, warm_up_steps=5, checkpoint_s=0.0)


class KilledError(Exception):
    """Stands for the signal."""


def fit(corpus: Corpus, kept: Path | None, settings: Settings = RUN, die_at: float = 2.0) -> Fitted:
    table = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)

    def watch(share: float, line: str) -> None:
        if share >= die_at:
            raise KilledError

    return train.fit(corpus, split_of(corpus), world.config(), table, settings, watch, kept=kept)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return world.corpus(users=40)


@pytest.fixture(scope="module")
def whole(corpus: Corpus) -> Fitted:
    return fit(corpus, None)


def same(one: Fitted, other: Fitted) -> bool:
    weights = zip(
        one.network.state_dict().values(), other.network.state_dict().values(), strict=True
    )
    curves = zip(one.curve, other.curve, strict=True)
    return (
        np.array_equal(one.item_table, other.item_table)
        and np.array_equal(one.item_bias, other.item_bias)
        and all(bool((a == b).all()) for a, b in weights)
        and all((a.train_loss, a.mrr) == (b.train_loss, b.mrr) for a, b in curves)
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_killed_and_resumed_is_uninterrupted(
    corpus: Corpus, whole: Fitted, tmp_path: Path, share: float
) -> None:
    kept = tmp_path / "training.safetensors"
    with pytest.raises(KilledError):
        fit(corpus, kept, die_at=share)
    seen: list[float] = []
    table = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)
    resumed = train.fit(
        corpus,
        split_of(corpus),
        world.config(),
        table,
        RUN,
        lambda done, _: seen.append(done),
        kept=kept,
    )
    assert min(seen) > share - 0.1  # it didn't start over
    assert same(whole, resumed)


def test_a_finished_run_is_not_run_again(corpus: Corpus, whole: Fitted, tmp_path: Path) -> None:
    kept = tmp_path / "training.safetensors"
    fit(corpus, kept)
    assert same(whole, fit(corpus, kept, die_at=0.0))


def test_another_trainings_checkpoint_is_left_alone(
    corpus: Corpus, whole: Fitted, tmp_path: Path
) -> None:
    kept = tmp_path / "training.safetensors"
    fit(corpus, kept, replace(RUN, seed=1, epochs=1))
    assert same(whole, fit(corpus, kept))


def test_a_broken_checkpoint_is_left_alone(corpus: Corpus, whole: Fitted, tmp_path: Path) -> None:
    kept = tmp_path / "training.safetensors"
    fit(corpus, kept)
    kept.write_bytes(kept.read_bytes()[:1_000])
    assert same(whole, fit(corpus, kept))


def test_a_checkpoint_is_one_file_of_tensors(corpus: Corpus, tmp_path: Path) -> None:
    kept = tmp_path / "training.safetensors"
    fit(corpus, kept, replace(RUN, epochs=1))
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    with safe_open(kept, framework="np") as file:
        assert {"now.table", "best.table", "moments.0/exp_avg"} <= set(file.keys())

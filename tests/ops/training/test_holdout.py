"""What judges a version is no part of what it learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.evaluation.metrics import MISSING
from models.training.corpus import Corpus
from models.training.labels import UNKNOWN
from ops.archive.rerun import rerun
from ops.baselines import popularity_ranks
from ops.training.holdout import Holdout, divide
from ops.training.questions import Keeper
from ops.training.samples import LabelRules, Samples, collect
from streams.histories.item_table import ItemTable
from streams.settings import Settings
from tests.ops.training.shop_log import archive_shop

DAY_S = 86_400


def collected(root: Path, before_ms: int | None = None) -> tuple[Samples, Keeper, ItemTable]:
    state, steps = rerun(root, Settings(), before_ms=before_ms)
    keeper = Keeper(1.0, 100_000)
    rules = LabelRules(churn_horizon_s=3 * DAY_S, label_delay_s=4 * DAY_S)
    return collect(steps, rules, look=keeper.see), keeper, state.items


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("log")
    archive_shop(root, events=5_000)
    return root


@pytest.fixture(scope="module")
def divided(root: Path) -> tuple[Holdout, ItemTable]:
    samples, keeper, items = collected(root)
    return divide(samples, keeper.asked(), 0.25), items


def events(corpus: Corpus, names: list[str]) -> list[tuple[object, ...]]:
    named = [names[row] for row in corpus.item_rows.tolist()]
    columns = (corpus.times_s, corpus.kinds, corpus.hours, corpus.gaps, corpus.amounts.round(4))
    return sorted(zip(named, *(column.tolist() for column in columns), strict=True))


def named(samples: Samples, items: ItemTable) -> list[str]:
    return ["", *(items.ids[index] for index in samples.item_index.tolist())]


def test_the_training_part_is_what_the_log_was_then(
    root: Path, divided: tuple[Holdout, ItemTable]
) -> None:
    """The same as if the rerun had stopped at the cut, but for labels confirmed early."""
    holdout, items = divided
    then, _, items_then = collected(root, before_ms=holdout.cut_s * 1000)
    learnt = holdout.training
    assert events(learnt.corpus, named(learnt, items)) == events(
        then.corpus, named(then, items_then)
    )
    np.testing.assert_array_equal(learnt.places, then.places)
    points = learnt.corpus.points
    np.testing.assert_array_equal(points.features, then.corpus.points.features)
    at_s = learnt.corpus.times_s[points.event]
    np.testing.assert_array_equal(at_s, then.corpus.times_s[then.corpus.points.event])
    assert set(np.unique(learnt.corpus.users)) == set(range(learnt.corpus.users.max() + 1))
    assert learnt.corpus.item_rows.max() == len(learnt.item_index)
    assert (points.churn[at_s + 3 * DAY_S > holdout.cut_s] == UNKNOWN).all()
    assert (points.risk[at_s + 4 * DAY_S > holdout.cut_s] == UNKNOWN).all()
    assert (points.churn != UNKNOWN).sum() > 100


def test_no_label_both_teaches_and_judges(divided: tuple[Holdout, ItemTable]) -> None:
    holdout, _ = divided
    learnt, whole = holdout.training, holdout.samples
    for name in ("churn", "risk"):
        taught = {
            tuple(place)
            for place in learnt.places[getattr(learnt.corpus.points, name) != UNKNOWN].tolist()
        }
        judging = {tuple(place) for place in whole.places[getattr(holdout, name)].tolist()}
        known = {
            tuple(place)
            for place in whole.places[getattr(whole.corpus.points, name) != UNKNOWN].tolist()
        }
        assert judging
        assert not taught & judging
        assert taught | judging == known


def test_questions_keep_their_points(divided: tuple[Holdout, ItemTable]) -> None:
    holdout, _ = divided
    assert holdout.asked is not None
    assert holdout.training_asked is not None
    for samples, asked in (
        (holdout.training, holdout.training_asked),
        (holdout.samples, holdout.asked),
    ):
        at_s = samples.corpus.times_s[samples.corpus.points.event[asked.points]]
        np.testing.assert_array_equal(at_s, asked.windows.now_s)
        assert len(at_s) > 50
    assert holdout.training_asked.windows.now_s.max() < holdout.cut_s
    assert holdout.asked.windows.now_s.min() >= holdout.cut_s


def test_popularity_is_decayed_live_and_exact(divided: tuple[Holdout, ItemTable]) -> None:
    corpus = divided[0].samples.corpus
    order = np.argsort(corpus.times_s, kind="stable")
    rows, times_s = corpus.item_rows[order], corpus.times_s[order]
    asked = np.flatnonzero(times_s >= divided[0].cut_s)[::97]
    rng = np.random.default_rng(0)
    targets = rng.integers(1, rows.max() + 1, len(asked))
    known = np.searchsorted(times_s, times_s[asked], side="right")
    items = np.where(rows > 0, rows, -1)
    found = popularity_ranks(items, times_s, known, items[asked], targets, tau_s=2 * DAY_S)
    for place, event, target in zip(found.tolist(), asked.tolist(), targets.tolist(), strict=True):
        now_s = times_s[event]
        past = times_s <= now_s
        weights = np.exp(-(now_s - times_s[past]) / (2 * DAY_S))
        counts = np.bincount(rows[past], weights, rows.max() + 1)
        others = [r for r in range(1, len(counts)) if r not in (target, rows[event])]
        ahead = sum(counts[row] > counts[target] * (1 + 1e-9) for row in others)
        ties = sum(abs(counts[row] - counts[target]) <= 1e-9 * counts[target] for row in others)
        assert (place == MISSING) == (counts[target] == 0)
        assert place == MISSING or ahead < place <= ahead + ties + 1

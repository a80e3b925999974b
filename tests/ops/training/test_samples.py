"""Training sees what the worker saw: the same windows, features and inputs, bit for bit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from models.features import model_inputs
from models.training import labels
from models.training.corpus import at_points
from ops.archive.rerun import Step, rerun
from ops.training.questions import Keeper
from ops.training.samples import LabelRules, Samples, collect
from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.settings import Settings, State
from tests.ops.training.shop_log import archive_shop


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    archive_shop(root)
    return root


@pytest.fixture(scope="module")
def steps(archive: Path) -> list[Step]:
    return list(rerun(archive, Settings())[1])


@pytest.fixture(scope="module")
def samples(steps: list[Step]) -> Samples:
    return collect(iter(steps), LabelRules())


def test_every_accepted_event_and_every_point_is_there(steps: list[Step], samples: Samples) -> None:
    accepted = sum(int(step.applied.accepted.sum()) for step in steps)
    labels_ = sum(
        int((step.applied.accepted & (step.columns.kinds == Kind.LABEL)).sum()) for step in steps
    )
    assert labels_ < 0.05 * accepted
    assert samples.corpus.first_seen.sum() == accepted - labels_
    assert len(samples.corpus.points.event) == sum(len(step.applied.points) for step in steps)


def test_inputs_cut_out_of_the_corpus_are_the_workers_inputs(
    steps: list[Step], samples: Samples
) -> None:
    assert same_inputs(steps, samples)
    assert samples.corpus.first_seen.all(), "in order, nothing is repeated"


@pytest.mark.parametrize("max_users", [1_000_000, 30])
def test_so_they_are_where_events_arrive_late_and_users_are_evicted(
    tmp_path: Path, max_users: int
) -> None:
    """The sequence before a decision holds no event that hadn't arrived when it was made."""
    archive_shop(tmp_path, disorder=40)
    steps = list(rerun(tmp_path, Settings(state=State(max_users=max_users)))[1])
    assert sum(step.applied.disordered for step in steps) > 100
    samples = collect(iter(steps), LabelRules())
    assert same_inputs(steps, samples)
    accepted = sum(
        int((step.applied.accepted & (step.columns.kinds != Kind.LABEL)).sum()) for step in steps
    )
    corpus = samples.corpus
    assert 0 <= accepted - int(corpus.first_seen.sum()) < 0.02 * accepted, "each event once"
    assert len(corpus) > accepted, "what was known is repeated before what came late"
    following = corpus.following()
    known = following < len(corpus)
    assert (corpus.users[following[known]] == corpus.users[known]).all()
    assert (corpus.times_s[following[known]] >= corpus.times_s[known]).all()


def same_inputs(steps: list[Step], samples: Samples) -> bool:
    """Whether serving and training see the same at every point, bit for bit."""
    rows = np.zeros(1 + int(samples.item_index.max()), dtype=np.int64)
    rows[samples.item_index] = np.arange(1, len(samples.item_index) + 1)
    first = 0
    for step in steps:
        count = len(step.windows)
        online = model_inputs.build(step.windows, step.features, rows)
        offline = at_points(samples.corpus, np.arange(first, first + count))
        for column in fields(online):
            one, other = getattr(online, column.name), getattr(offline, column.name)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other), column.name
        first += count
    return first == len(samples.places)


def test_the_rerun_does_not_depend_on_how_the_archive_is_cut(
    archive: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.archive.rerun.BATCH_RECORDS", 97)
    again = collect(rerun(archive, Settings())[1], LabelRules())
    order, other = (np.lexsort(s.places.T) for s in (samples, again))
    assert np.array_equal(samples.places[order], again.places[other])
    assert np.array_equal(
        samples.corpus.points.features[order], again.corpus.points.features[other]
    )


def test_label_events_label_their_payment_and_are_no_events(samples: Samples) -> None:
    risk = samples.corpus.points.risk
    assert (risk == 1).sum() > 0
    assert (risk == 0).sum() > (risk == 1).sum()


def test_the_horizon_follows_the_span_or_the_rule(steps: list[Step], samples: Samples) -> None:
    assert samples.horizon_s == pytest.approx(40 / 6 * labels.DAY_S, rel=0.15)
    short = collect(iter(steps), LabelRules(churn_horizon_s=labels.DAY_S))
    assert short.horizon_s == labels.DAY_S
    assert (short.corpus.points.churn == 1).sum() > (samples.corpus.points.churn == 1).sum()


def test_rare_items_beyond_the_bound_are_unknown(steps: list[Step], samples: Samples) -> None:
    few = collect(iter(steps), LabelRules(), max_items=10)
    assert len(few.item_index) == 10
    assert few.corpus.item_rows.max() == 10
    whole = np.bincount(samples.corpus.item_rows)[1:]
    kept = np.isin(samples.item_index, few.item_index)
    assert whole[kept].min() >= whole[~kept].max()


def test_the_keeper_keeps_recommendation_points_of_the_newest_part(
    steps: list[Step], samples: Samples
) -> None:
    keepers = [Keeper(0.2, 10_000), Keeper(0.2, 50), Keeper(0.0, 50)]
    for step in steps:
        for keeper in keepers:
            keeper.see(step)
    whole, part, none = (keeper.asked() for keeper in keepers)
    assert none is None
    assert whole is not None
    assert part is not None
    assert 25 <= len(part.points) <= 100 < len(whole.points)
    assert np.isin(part.points, whole.points).all()
    row = int(np.flatnonzero(whole.points == part.points[7])[0])
    assert np.array_equal(part.windows.items[7], whole.windows.items[row])
    assert np.array_equal(part.suggestions.items[7], whole.suggestions.items[row])


def test_an_empty_archive_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no events of topic events"):
        rerun(tmp_path, Settings())

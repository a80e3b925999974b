"""Training holds a bounded part of a log: a window of it, and a sample that no order changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.training.train import Settings as TrainSettings
from ops.archive.files import PartitionArchive, Span, archived_ends, partitions, read_file
from ops.archive.rerun import Step, rerun
from ops.archive.window import DAY_MS, newest_ms, prune, window
from ops.training.ledger import Plan
from ops.training.questions import Keeper
from ops.training.run import Job, _rerun
from ops.training.samples import Bounds, LabelRules, Samples, collect
from ops.training.stages import Stages
from streams.settings import Settings, Train
from streams.transport.record_batch import RecordBatch
from tests.ops.training.shop_log import archive_shop


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    archive_shop(root, events=4_000)
    return root


@pytest.fixture(scope="module")
def steps(archive: Path) -> list[Step]:
    return list(rerun(archive, Settings())[1])


def places(samples: Samples) -> list[tuple[int, ...]]:
    return sorted(map(tuple, samples.places.tolist()))


def test_beyond_the_bounds_whole_users_go_and_points_go(steps: list[Step]) -> None:
    whole = collect(iter(steps), LabelRules())
    few = collect(iter(steps), LabelRules(), bounds=Bounds(max_events=1_500, max_points=200))
    assert (whole.user_share, whole.point_share) == (1.0, 1.0)
    assert 300 < len(few.corpus) <= 1_500
    assert 50 < len(few.places) <= 200
    assert few.user_share < 1.0
    assert few.point_share < 1.0
    at = whole.rows_of(few.numbers)
    assert np.array_equal(whole.places[at], few.places)
    points, others = whole.corpus.points, few.corpus.points
    assert np.array_equal(points.features[at], others.features)
    assert np.array_equal(points.churn[at], others.churn), "labels see all that a user did"
    assert np.array_equal(points.risk[at], others.risk)
    assert few.log_end_s == whole.log_end_s
    kept = np.unique(whole.corpus.users[points.event[at]])
    per_user = np.bincount(whole.corpus.users)
    assert sorted(per_user[kept]) == sorted(
        np.bincount(few.corpus.users)[np.unique(few.corpus.users[others.event])]
    )


def test_the_sample_is_a_function_of_ids_and_not_of_order(steps: list[Step]) -> None:
    bounds = Bounds(max_events=1_500, max_points=200)
    once = collect(iter(steps), LabelRules(), bounds=bounds)
    by_partition = sorted(steps, key=lambda step: -step.partition)
    again = collect(iter(by_partition), LabelRules(), bounds=bounds)
    assert places(once) == places(again)
    assert len(once.corpus) == len(again.corpus)


def test_questions_are_asked_at_points_that_the_sample_has(steps: list[Step]) -> None:
    keeper = Keeper(0.5, 100)
    few = collect(
        iter(steps), LabelRules(), bounds=Bounds(max_events=1_500, max_points=300), look=keeper.see
    )
    found = keeper.asked()
    assert found is not None
    asked = found.known_to(few)
    assert 20 < len(asked.points) <= 200
    event = few.corpus.points.event[asked.points]
    newest = asked.windows.times_s[np.arange(len(event)), asked.windows.lengths - 1]
    assert np.array_equal(few.corpus.times_s[event], newest)


def test_before_the_window_the_log_only_builds_the_state(steps: list[Step]) -> None:
    times = np.concatenate([step.columns.broker_ms for step in steps])
    begin_ms = int(np.median(times))
    whole = collect(iter(steps), LabelRules())
    late = collect(iter(steps), LabelRules(), bounds=Bounds(begin_ms=begin_ms))
    inside = sum(int((step.columns.broker_ms[step.applied.points.rows] >= begin_ms).sum())
                 for step in steps)  # fmt: skip
    assert 0 < len(late.places) == inside < len(whole.places)
    at = whole.rows_of(late.numbers)
    assert np.array_equal(whole.corpus.points.features[at], late.corpus.points.features)


def test_each_setting_reaches_the_training(tmp_path: Path) -> None:
    archive_shop(tmp_path, events=4_000)
    spread(tmp_path, days=4)

    def trained_on(train: Train) -> Samples:
        job = Job(Settings(train=train), TrainSettings(), LabelRules(), tmp_path, tmp_path)
        ends = archived_ends(tmp_path, job.topics)
        plan = Plan(None, None, ends, "", window(tmp_path, "events", train))
        samples, asked, _ = _rerun(job, plan, Stages())
        assert asked is not None
        return samples

    whole = trained_on(Train())
    assert trained_on(Train(max_events=1_500)).user_share < whole.user_share == 1.0
    assert trained_on(Train(max_points=200)).point_share < whole.point_share == 1.0
    warm = trained_on(Train(window_days=1, warm_up_days=9))
    assert 200 < len(warm.places) < 400 < len(whole.places)
    known = whole.corpus.points.features[whole.rows_of(warm.numbers)]
    assert np.array_equal(warm.corpus.points.features, known), "the state is the whole log's"
    cold = trained_on(Train(window_days=1, warm_up_days=0))
    assert abs(len(cold.places) - len(warm.places)) < 20
    assert cold.corpus.points.features.sum() < 0.95 * warm.corpus.points.features.sum()


def spread(root: Path, days: int) -> None:
    """Let the archived log span some days of broker time, a file each."""
    for part in partitions(root, "events"):
        (span,) = part.spans()
        frame = read_file(part.path(span))
        step = 1 + len(frame) // days
        part.path(span).unlink()
        for first in range(0, len(frame), step):
            piece = frame.slice(first, step).with_columns(
                broker_ms=pl.col("broker_ms") + first // step * DAY_MS
            )
            end = min(first + step, span.next)
            part.store(part.path(Span(first, end)), piece)


NOW = datetime(2026, 11, 1, tzinfo=UTC)


def write(root: Path, first: int, times_ms: list[int], partition: int = 0) -> Span:
    n = len(times_ms)
    span = Span(first, first + n)
    offsets = list(range(first, first + n))
    batch = RecordBatch(
        "events", partition, first, first + n - 1, offsets, times_ms, [b"u"] * n, [b"{}"] * n,
        [()] * n,
    )  # fmt: skip
    PartitionArchive(root, "events", partition).write(span, [batch])
    return span


def ago_ms(days: float) -> int:
    return int((NOW - timedelta(days=days)).timestamp() * 1000)


def names(root: Path) -> list[tuple[int, Span]]:
    return [(part.partition, span) for part in partitions(root, "events") for span in part.spans()]


def test_only_files_that_are_all_older_than_window_and_warm_up_go(tmp_path: Path) -> None:
    settings = Train(window_days=10, warm_up_days=5)
    old = write(tmp_path, 0, [ago_ms(30)] * 100)
    mixed = write(tmp_path, 100, [ago_ms(29), ago_ms(14.9)] * 50)
    write(tmp_path, 200, [ago_ms(20)] * 100)  # older, but it came after what isn't
    write(tmp_path, 300, [ago_ms(0)] * 1_000)
    other = write(tmp_path, 0, [ago_ms(16)] * 100, partition=1)
    write(tmp_path, 100, [ago_ms(1)] * 100, partition=1)
    found = window(tmp_path, "events", settings)
    assert found is not None
    assert found.begin_ms == ago_ms(10)
    assert found.read_ms == found.kept_ms == ago_ms(15)
    before = names(tmp_path)
    pruned = prune(tmp_path, "events", found.kept_ms)
    assert (pruned.files, pruned.records, pruned.newest_ms) == (2, 200, ago_ms(16))
    assert set(before) - set(names(tmp_path)) == {(0, old), (1, other)}
    assert (0, mixed) in names(tmp_path)
    assert prune(tmp_path, "events", found.kept_ms).files == 0
    newest = PartitionArchive(tmp_path, "events", 0).read(since_ms=ago_ms(1))
    assert next(newest).offsets[0] >= 300


def test_a_single_odd_time_moves_no_window(tmp_path: Path) -> None:
    write(tmp_path, 0, [ago_ms(30)] * 100)
    write(tmp_path, 100, [ago_ms(0)] * 500 + [ago_ms(-20_000)] * 3)
    found = window(tmp_path, "events", Train(window_days=40))
    assert newest_ms(tmp_path, "events") == ago_ms(0)
    assert found is not None
    assert prune(tmp_path, "events", found.kept_ms).files == 0


def test_a_shorter_window_asked_for_once_deletes_no_more(tmp_path: Path) -> None:
    write(tmp_path, 0, [ago_ms(8)] * 100)
    write(tmp_path, 100, [ago_ms(0)] * 100)
    settings = Train(window_days=20, warm_up_days=1)
    found = window(tmp_path, "events", settings, since_ms=ago_ms(1))
    assert found is not None
    assert (found.begin_ms, found.read_ms) == (ago_ms(1), ago_ms(2))
    assert found.kept_ms == ago_ms(21)
    longer = window(tmp_path, "events", settings, since_ms=ago_ms(99))
    assert longer is not None
    assert longer.kept_ms == ago_ms(100), "what is read is kept"
    past = window(tmp_path, "events", settings, before_ms=ago_ms(50))
    assert past is not None
    assert past.begin_ms == ago_ms(50) - 20 * DAY_MS


def test_no_archive_no_window(tmp_path: Path) -> None:
    assert window(tmp_path, "events", Train()) is None


def test_what_went_is_told(tmp_path: Path) -> None:
    write(tmp_path, 0, [ago_ms(30)] * 7)
    write(tmp_path, 7, [ago_ms(0)])
    told = prune(tmp_path, "events", ago_ms(20)).to_json()
    assert json.loads(json.dumps(told)) == {
        "files": 1, "records": 7, "up_to": "2026-10-02T00:00:00Z",
    }  # fmt: skip

"""Train on a log's past as `hark train` would, then ask the future, event by event.

Everything goes through the worker's own functions: histories of its length, its counters, its
candidates, the exported engine and the stored ranker. Weights come from before the cut; counters
and histories stay live, as they are in a worker.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ranking.candidates import PARTS
from models.registry import registry
from models.training import build
from models.training.labels import UNKNOWN
from models.training.recipe import Recipe
from ops.archive.rerun import Rerun, Step
from ops.evaluation.file_log import by_partition, rerun_file
from ops.evaluation.judge import Judge
from ops.evaluation.timeline import ITEM, Ints, Timeline
from ops.event_files.adapters import Source
from ops.training import ranking
from ops.training.questions import Asked, Keeper
from ops.training.samples import LabelRules, Samples, collect
from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.histories.decision_points import PointPolicy, Task
from streams.serving.bound_model import BoundModel
from streams.settings import Settings

EVERY_EVENT = PointPolicy(watch=frozenset(), ask=frozenset(Kind))
LEAST_EVENTS = 20
RANKER_POINTS = 6_000

Show = Callable[[float | None, str], None]


@dataclass(slots=True)
class Lists:
    """Where each of the test's targets stood in every list.

    Attributes
    ----------
    targets
        int64 (n,): rows of the timeline.
    judge
        The ranks, and who proposed the target.
    ranking, trained
        How the version was made.
    facts
        Counts and seconds.
    """

    timeline: Timeline
    targets: Ints
    judge: Judge
    ranking: ranking.Ranking
    trained: build.Trained
    facts: dict[str, Any] = field(default_factory=dict)


def ask_the_future(
    source: Source,
    settings: Settings,
    training: Recipe,
    show: Show,
    *,
    partitions: int = 1,
    first: bool = False,
    frozen: bool = False,
    ablation: bool = False,
) -> Lists:
    """Train before the cut, ask at every test event.

    Parameters
    ----------
    partitions
        Of the log that the worker reads.
    first
        Users' first events are targets too, that nobody can be asked about.
    frozen
        Ask with the counters as they were at the cut, too.
    ablation
        Ask without one part of the list each, too.
    """
    clock = _Clock()
    timeline = Timeline.of(source.events)
    targets, answers = timeline.test(first=first), timeline.answers()
    _enough(timeline, targets)
    state, steps = rerun_file(
        source,
        settings,
        lambda done, total: show(done / total, f"{done:,} of {total:,} events"),
        stops_ms=[int(source.events["time_ms"][timeline.cut])],
        partitions=partitions,
    )
    places = by_partition(source.events, partitions)
    state.decide_at(EVERY_EVENT)
    keeper = Keeper(build.VALIDATION_SHARE, RANKER_POINTS)
    early: list[_Questions] = []

    def look(step: Step, kept: Ints) -> None:
        keeper.see(step, kept)
        early.append(_Questions.of(step, places, answers, timeline.cut))

    samples = _without_labels(collect(_until(steps, timeline.cut), LabelRules(), look=look))
    clock.stage("log before the cut")
    trained = build.train_version(
        samples.corpus,
        len(samples.item_index),
        training.settings,
        horizon_s=samples.horizon_s,
        label_delay_s=samples.label_delay_s,
        progress=show,
        dropout=training.dropout,
    )
    clock.stage("network")
    show(None, "ranker")
    lessons = ranking.learn(samples, keeper.asked(), trained, len(state.items))
    made = ranking.choose(lessons)
    without = {}
    if ablation and lessons is not None:
        without = {part: lessons.fit((*made.without, part), made.ridge) for part in PARTS}
    bound = _as_worker(state, samples, trained, made)
    clock.stage("ranker")
    then = {number: state.frozen(number) for number in range(partitions)} if frozen else {}
    judge = Judge(bound, without, then, len(targets))
    ids = source.events[ITEM]
    later = (_Questions.of(step, places, answers, timeline.cut) for step in steps)
    for questions in chain(early, later):
        rows = questions.answers
        known = state.items.known(ids.gather(rows).to_list()).astype(np.int64)
        judge.ask(questions.asked, known, np.searchsorted(targets, rows), questions.partition)
    clock.stage("test")
    return Lists(timeline, targets, judge, made, trained, {"stages_s": clock.seconds})


@dataclass(frozen=True, slots=True)
class _Questions:
    """A partition's decision points with an answer in the test; `answers` (Q,) are its rows."""

    partition: int
    asked: Asked
    answers: Ints

    @staticmethod
    def of(step: Step, places: list[Ints], answers: Ints, cut: int) -> _Questions:
        points = step.applied.points
        answer = answers[places[step.partition][step.columns.offsets[points.rows]]]
        rows = np.flatnonzero((answer >= cut) & points.asking(Task.RECOMMEND))
        asked = Asked(
            points.rows[rows],
            step.windows.take(rows),
            step.features[rows],
            step.live.suggestions.take(rows),
        )
        return _Questions(step.partition, asked, answer[rows])


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    def stage(self, name: str) -> None:
        """The stage that ends now."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._started, 1)
        self._started = now


def _enough(timeline: Timeline, targets: Ints) -> None:
    """Refuse a file from which a table of zeros would come."""
    if len(timeline) < LEAST_EVENTS or not len(targets):
        raise ConfigError(
            f"{len(timeline):,} events, of which {len(targets):,} in the last tenth of the time go "
            f"to another item than the user's event before: too few to measure anything "
            f"({LEAST_EVENTS} events and one such at least, thousands for figures that mean "
            "something)"
        )


def _until(steps: Iterator[Step], row: int) -> Iterator[Step]:
    """The steps of the events before `row`, which begins a step."""
    done = 0
    while done < row:
        step = next(steps)
        done += len(step.columns)
        yield step


def _without_labels(samples: Samples) -> Samples:
    """The same log for lists alone: no churn and no risk to learn."""
    points = samples.corpus.points
    unknown: npt.NDArray[np.int8] = np.full(len(points.event), UNKNOWN, np.int8)
    plain = replace(samples.corpus, points=replace(points, churn=unknown, risk=unknown))
    return replace(samples, corpus=plain)


def _as_worker(
    state: Rerun, samples: Samples, trained: build.Trained, made: ranking.Ranking
) -> BoundModel:
    """The version through the registry, as a worker would hold it."""
    item_ids = [state.items.ids[i] for i in samples.item_index.tolist()]
    with tempfile.TemporaryDirectory(prefix="hark-evaluate-") as folder:
        root = Path(folder)
        version = build.store(root, trained, item_ids, made.ranker, {"ranking": made.report})
        return BoundModel(registry.load(root, version), state.items)

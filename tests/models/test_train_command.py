"""`hark train` end to end on a small archived log: a version that a worker can answer with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from models import registry
from models.point_inputs import at_points
from ops.models_cli import models
from ops.rerun import Step, rerun
from ops.samples import LabelRules, collect
from ops.train import train
from streams.answer import BoundModel
from streams.points import Task
from streams.settings import Settings
from tests.models.shop_log import archive_shop


@dataclass(frozen=True)
class Runs:
    """The same log trained twice alike and once with another seed."""

    root: Path
    first: dict[str, Any]
    again: dict[str, Any]
    other: dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("train")
    archive_shop(root / "archive", events=10_000)
    return Runs(root, run(root), run(root), run(root, "--seed", "1", "--no-promote"))


def run(root: Path, *more: str) -> dict[str, Any]:
    arguments = ["--archive", str(root / "archive"), "--registry", str(root / "registry")]
    done = CliRunner().invoke(
        train, [*arguments, "--offline", "--epochs", "2", "--max-seconds", "60", "--json", *more]
    )
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_becomes_the_champion_and_says_how_good_it_is(runs: Runs) -> None:
    model = registry.load(runs.root / "registry")
    assert model.version == runs.first["version"]
    lists = model.manifest["ranking"]
    assert lists["targets"] > 50
    assert lists["hark"]["hr_at_10"] >= 0.8 * lists["covisitation"]["hr_at_10"]
    assert model.manifest["parity"] < 1e-4
    assert model.manifest["data"]["offsets"].keys() == {"0", "1"}
    assert model.ships("churn")
    head = model.manifest["heads"]["churn"]
    assert head["shipped"] == model.heads["churn"].mix.shipped
    assert head["intervals"]["auc"][0] < head["auc"] < head["intervals"]["auc"][1]
    assert 0 < model.manifest["heads"]["churn"]["ece"] < 0.2


def test_the_same_log_and_seed_are_the_same_version(runs: Runs) -> None:
    assert runs.again["version"] == runs.first["version"]
    assert runs.other["version"] != runs.first["version"]
    assert not runs.other["promoted"]


def test_a_worker_ranks_with_it(runs: Runs) -> None:
    model = registry.load(runs.root / "registry", runs.first["version"])
    state, steps = rerun(runs.root / "archive", Settings())
    for step in steps:
        rows = np.flatnonzero(step.applied.points.asking(Task.RECOMMEND))
        if len(rows) and len(state.items) > 40:
            break
    bound = BoundModel(model, state.items)
    windows, frame = step.windows.take(rows), step.features[rows]
    scores = model.engine.score(bound.inputs(windows, frame))
    suggestions = step.live.suggestions.take(rows)
    found = bound.candidates(scores, suggestions, windows)
    current = windows.items[np.arange(len(rows)), windows.lengths - 1]
    listed = np.where(found.items >= 0, found.items, -2)
    assert (listed != np.where(current >= 0, current, -3)[:, None]).all()
    for row in listed:
        real = row[row >= 0]
        assert len(real) == len(set(real.tolist())) > 10
    plain = BoundModel(replace(model, ranker=None), state.items)
    without = plain.candidates(scores, suggestions, windows)
    assert not np.array_equal(found.scores, without.scores)
    churn = model.probability("churn", scores, bound.inputs(windows, frame).features)
    assert ((churn > 0) & (churn < 1)).all()


def test_a_worker_says_what_the_training_said(runs: Runs) -> None:
    """The same version, the same events: the worker's windows and the corpus' give one answer."""
    model = registry.load(runs.root / "registry", runs.first["version"])
    state, steps = rerun(runs.root / "archive", Settings())
    seen: list[Step] = []
    corpus = collect(steps, LabelRules(), look=seen.append).corpus
    bound = BoundModel(model, state.items)
    first, gaps = 0, []
    for step in seen:
        count = len(step.windows)
        if count and first > len(corpus.points.event) // 2:
            rows = np.arange(first, first + count)
            live, stored = bound.inputs(step.windows, step.features), at_points(corpus, rows)
            online = model.probability("churn", model.engine.score(live), live.features)
            offline = model.probability("churn", model.engine.score(stored), stored.features)
            gaps.append(np.abs(online - offline).max())
        first += count
    assert len(gaps) > 5
    assert max(gaps) < 1e-5


def test_versions_are_listed_shown_promoted_and_rolled_back(runs: Runs) -> None:
    root, first, other = runs.root / "registry", runs.first["version"], runs.other["version"]
    registry.promote(root, first)
    assert invoke(root, "promote", other) == f"champion: {other}\n"
    rows = json.loads(invoke(root, "list", "--json"))
    assert {row["version"]: row["alias"] for row in rows} == {first: "previous", other: "champion"}
    assert json.loads(invoke(root, "show"))["version"] == other
    assert invoke(root, "rollback") == f"champion: {first}\n"
    assert registry.resolve(root, "champion") == first


def invoke(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(models, [*arguments, "--registry", str(root)])
    assert done.exit_code == 0, done.output
    return done.stdout

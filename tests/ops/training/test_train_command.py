"""`hark train` end to end on a small archived log: a version that a worker can answer with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from models.evaluation.gate import Limits
from models.registry import aliases, registry, verdicts
from models.storage import artefact
from ops.archive.rerun import rerun
from ops.training.holdout import divide
from ops.training.judge_version import judge
from ops.training.questions import Keeper
from ops.training.samples import LabelRules, collect
from ops.training.train_command import train
from streams.histories.decision_points import Task
from streams.serving.bound_model import BoundModel
from streams.settings import Settings
from tests.ops.training.shop_log import archive_shop


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
    first, again = run(root), run(root)
    other = run(root, "--seed", "1", "--no-promote", HARK_GATE__WINDOW="0.15")
    return Runs(root, first, again, other)


def run(root: Path, *more: str, **environment: str) -> dict[str, Any]:
    arguments = ["--archive", str(root / "archive"), "--registry", str(root / "registry")]
    done = CliRunner().invoke(
        train,
        [*arguments, "--offline", "--epochs", "2", "--max-seconds", "60", "--json", *more],
        env=environment,
    )
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_becomes_the_champion_and_says_how_good_it_is(runs: Runs) -> None:
    model = registry.load(runs.root / "registry")
    assert runs.first["promoted"]
    assert runs.first["decision"]["why"] == "better than the simple methods"
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


def test_what_judged_it_is_later_than_what_it_learnt_from(runs: Runs) -> None:
    root = runs.root / "registry"
    data = registry.load(root).manifest["data"]
    gate = verdicts.read(root / runs.first["version"])["gate"]
    assert gate["window"] == {"from_s": data["train_end_s"], "to_s": data["log_end_s"]}
    assert data["train_end_s"] < data["log_end_s"]
    checks = {check["name"]: check for check in gate["checks"]}
    over = checks["NDCG@10 over covisitation"]
    assert over["passed"]
    assert over["low"] <= over["value"] <= over["high"]
    assert checks["parity of the export"]["passed"]


def test_the_card_tells_it(runs: Runs) -> None:
    directory = runs.root / "registry" / runs.first["version"]
    card = (directory / "card.md").read_text()
    assert card == verdicts.card_of(directory)
    assert "Promoted by the gate: better than the simple methods." in card
    assert "| risk | no | too few labels |" in card
    assert "| ranker | yes |" in card
    shown = float(card.split("| covisitation | ")[1].split(" ")[0])
    assert shown == pytest.approx(runs.first["ranking"]["covisitation"]["hr_at_10"], abs=1e-4)


def test_the_same_log_and_seed_are_the_same_version(runs: Runs) -> None:
    assert runs.again["version"] == runs.first["version"]
    assert runs.again["promoted"]
    assert runs.other["version"] != runs.first["version"]


def test_what_must_not_be_promoted_is_the_challenger(runs: Runs) -> None:
    """And it was judged against the champion all the same."""
    assert not runs.other["promoted"]
    named = aliases.named(runs.root / "registry")
    assert named == {"champion": runs.first["version"], "challenger": runs.other["version"]}
    ends = [
        artefact.read_manifest(runs.root / "registry" / run["version"])["data"]["train_end_s"]
        for run in (runs.first, runs.other)
    ]
    assert ends[1] < ends[0], "gate.window is obeyed"
    compared = [check["name"] for check in runs.other["decision"]["checks"]]
    assert "NDCG@10 over champion" in compared


def test_a_version_with_upside_down_lists_is_refused(runs: Runs) -> None:
    """The champion's own files but for the ranker, whose weights have the wrong sign."""
    root = runs.root / "registry"
    directory = root / runs.first["version"]
    manifest = artefact.read_manifest(directory)
    files = artefact.read_files(directory, manifest)
    weights = {name: -weight for name, weight in json.loads(files["ranker.json"]).items()}
    files["ranker.json"] = artefact.to_json_bytes(weights)
    bad = artefact.write(root, files, {**manifest, "files": None, "format": None})

    state, steps = rerun(runs.root / "archive", Settings())
    keeper = Keeper(0.2, 10_000)
    samples = collect(steps, LabelRules(), look=keeper.see)
    holdout = divide(samples, keeper.asked(), 0.1)
    for champion in (runs.first["version"], None):
        decision = judge(root, bad, champion, holdout, state.items, Limits())
        assert not decision.promote
        assert "covisitation has the better NDCG@10" in decision.why
        assert ("NDCG@10 may be worse than the champion's" in decision.why) == bool(champion)
    good = judge(root, runs.first["version"], None, holdout, state.items, Limits())
    assert good.promote


def test_a_worker_ranks_with_it(runs: Runs) -> None:
    model = registry.load(runs.root / "registry", runs.first["version"])
    state, steps = rerun(runs.root / "archive", Settings())
    for step in steps:
        rows = np.flatnonzero(step.applied.points.asking(Task.RECOMMEND))
        if len(rows) and len(state.items) > 40:
            break
    bound = BoundModel(model, state.items)
    windows, values = step.windows.take(rows), step.features[rows]
    scores = model.engine.score(bound.inputs(windows, values))
    suggestions = step.live.suggestions.take(rows)
    pool = bound.pool(scores, suggestions, windows)
    found = bound.rank(pool, suggestions, windows)
    current = windows.items[np.arange(len(rows)), windows.lengths - 1]
    listed = np.where(found.items >= 0, found.items, -2)
    assert (listed != np.where(current >= 0, current, -3)[:, None]).all()
    for row in listed:
        real = row[row >= 0]
        assert len(real) == len(set(real.tolist())) > 10
    plain = BoundModel(replace(model, ranker=None), state.items)
    without = plain.rank(pool, suggestions, windows)
    assert not np.array_equal(found.scores, without.scores)
    churn = model.probability("churn", scores, bound.inputs(windows, values).features)
    assert ((churn > 0) & (churn < 1)).all()

"""A product without items, payments alone, trains a risk head and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from models.registry import registry
from ops.training.train_command import train
from tests.models import world
from tests.ops.training.shop_log import archive_payments


def test_payments_alone_train_a_risk_head(tmp_path: Path) -> None:
    archive_payments(tmp_path / "archive")
    arguments = ["--archive", str(tmp_path / "archive"), "--registry", str(tmp_path / "registry")]
    done = CliRunner().invoke(train, [*arguments, "--offline", "--epochs", "1", "--json"])
    assert done.exit_code == 0, done.output
    head = json.loads(done.stdout)["heads"]["risk"]
    assert head["auc"] > 0.95
    assert head["shipped"] in {"network", "trees", "stack"}
    assert set(head["parts"]) == {"network", "trees", "stack"}
    model = registry.load(tmp_path / "registry")
    inputs = world.inputs(4, 0)
    probability = model.probability("risk", model.engine.score(inputs), inputs.features)
    assert ((probability >= 0) & (probability <= 1)).all()

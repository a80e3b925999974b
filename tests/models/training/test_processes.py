"""Two processes that torchrun started train what one trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.training import train
from models.training.loop import Settings
from models.training.processes import place
from tests.models import world
from tests.models.training.test_train import N_ITEMS, split_of

TOLERANCE = 2e-3
"""Sums in another order, after some fifty steps of an optimiser that divides by small numbers."""


def trained(path: Path) -> None:
    """Train without dropout, which every process draws for itself, and store the result."""
    import torch

    torch.set_num_threads(1)
    corpus = world.corpus(users=40)
    table = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)
    settings = Settings(epochs=3, batch_tokens=256, warm_up_steps=5, learning_rate=5e-3)
    config = world.config(dropout=0)
    fitted = train.fit(corpus, split_of(corpus), config, table, settings)
    rank, size = place()
    np.savez(
        path.with_name(f"{path.name}.{rank}.npz"),
        table=fitted.item_table,
        query=fitted.network.last.query.weight.detach().numpy(),
        curve=np.array([[epoch.train_loss, epoch.mrr] for epoch in fitted.curve]),
        size=size,
    )


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
               "-m", __name__, str(tmp_path / "two")]  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    one = np.load(tmp_path / "one.0.npz")
    two = [np.load(tmp_path / f"two.{rank}.npz") for rank in (0, 1)]
    assert int(two[0]["size"]) == 2
    for name in ("table", "query", "curve"):
        assert np.array_equal(two[0][name], two[1][name]), name
        assert np.abs(one[name] - two[0][name]).max() < TOLERANCE, name
    start = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)
    assert np.abs(one["table"] - start).max() > 10 * TOLERANCE  # it did train


if __name__ == "__main__":
    trained(Path(sys.argv[1]))

"""The score benchmark: how fast whole decisions are, on one core, by batch, catalogue and history.

Histories, counters and candidates come from a simulated shop's log; the model is trained on one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ops.benchmarks.score_process import MIXED
from ops.benchmarks.score_shop import ShopSize, train_model, with_catalogue
from schemas.errors import TransientError

BATCHES = (1, 4, 16, 64, 256, 1024)
CATALOGUES = (5_000, 30_000)
LENGTHS = ("8", "16", "32", "64", MIXED)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
"""Read when numpy and Polars load; the engine has one thread anyway."""

Row = dict[str, Any]


def measure(
    batches: Sequence[int],
    catalogues: Sequence[int],
    lengths: Sequence[str],
    *,
    events: int,
    train_seconds: float,
    progress: Callable[[str, Row | None], None],
) -> list[Row]:
    """Measure every combination.

    Parameters
    ----------
    batches, catalogues, lengths
        Decisions at once, items, and events per history (`MIXED`: as they come).
    events
        In the log behind the state.
    train_seconds
        For the training loop of the model.
    progress
        Called with what is being done, and with each row when it is measured.

    Raises
    ------
    TransientError
        Training or measuring failed.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress("training a model", None)
        version = train_model(folder, ShopSize(min(catalogues), events), seconds=train_seconds)
        for items in catalogues:
            progress(f"filling a state, {items:,} items", None)
            arguments = {
                "registry_root": str(folder / "registry"),
                "version": with_catalogue(folder / "registry", version, items),
                "items": items,
                "events": events,
                "sizes": list(batches),
                "lengths": list(lengths),
            }
            for row in _measured(arguments):
                rows.append(row)
                progress(f"{items:,} items, length {row['length']}", row)
    return rows


def _measured(arguments: dict[str, Any]) -> Iterator[Row]:
    """The rows of one catalogue, as a process with one thread prints them."""
    command = [sys.executable, "-m", "ops.benchmarks.score_process", json.dumps(arguments)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | ONE_THREAD
        ) as process,
    ):
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
        if process.wait():
            errors.seek(0)
            raise TransientError(f"measuring failed:\n{errors.read().strip()[-2000:]}")

"""The shop whose log fills the state of the score benchmark, and the model it is scored with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from models.engines import golden
from models.engines.onnx import OnnxEngine
from models.registry.registry import load
from models.storage import artefact
from ops.archive.files import PartitionArchive, Span
from ops.publish.feed import catalogue_records
from ops.publish.segment import records
from ops.simulator.simulation import Simulation, simulate_events
from schemas.errors import TransientError
from schemas.topics import EVENTS, ITEMS
from streams.transport.record_batch import RecordBatch

EVENTS_PER_USER = 60
"""So many that histories of 64 events are common."""
BATCH_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class ShopSize:
    """What to simulate: `items` in the catalogue, `events` in the log."""

    items: int
    events: int

    def simulate(self) -> Simulation:
        """The shop; the same size is the same shop."""
        users = max(20, self.events // EVENTS_PER_USER)
        return simulate_events(7, users, self.items, 60.0, self.events, cart_rate=0.03)


def batches(frame: pl.DataFrame) -> Iterator[RecordBatch]:
    """An event frame as the log of one partition."""
    for first in range(0, len(frame), BATCH_RECORDS):
        yield records(frame.slice(first, BATCH_RECORDS), EVENTS.name).batch(first)


def train_model(folder: Path, size: ShopSize, *, seconds: float) -> str:
    """Train a size-S model on the shop's log into `folder`/registry -> its version.

    In a process of its own: what is measured never loads torch.
    """
    shop = size.simulate()
    archive, registry = folder / "archive", folder / "registry"
    log = records(shop.events, EVENTS.name)
    PartitionArchive(archive, EVENTS.name, 0).write(Span(0, len(log)), [log.batch()])
    catalogue = catalogue_records(shop.catalogue, ITEMS.name)
    items = PartitionArchive(archive, ITEMS.name, 0)
    items.write(Span(0, len(catalogue)), [catalogue.batch()])
    where = ("--archive", str(archive), "--registry", str(registry))
    command = ("train", "--offline", "--json", *where, "--max-seconds", str(seconds))
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *command],
        capture_output=True, text=True, env={**os.environ, "HARK_KAFKA__TOPIC_PREFIX": ""},
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise TransientError(f"training failed:\n{done.stderr.strip()[-2000:]}")
    version: str = json.loads(done.stdout)["version"]
    return version


def with_catalogue(registry: Path, version: str, n_items: int) -> str:
    """The same model with a catalogue of `n_items` items, at least those it has -> its version.

    The rows of further items are drawn around those it has learnt: what a row holds doesn't
    change how long it takes.
    """
    model = load(registry, version)
    files = artefact.read_files(model.directory, model.manifest)
    known = set(model.item_ids)
    fresh = [name for i in range(n_items) if (name := f"item-{i}") not in known]
    fresh = fresh[: max(0, n_items - len(known))]
    table, bias = _grown(model.item_table, model.item_bias, len(fresh))
    inputs, _ = golden.from_bytes(files["golden.npz"])
    outputs = OnnxEngine(files["model.onnx"], table, bias).score(inputs)
    files |= {
        "item_table.npy": artefact.to_npy_bytes(table),
        "item_bias.npy": artefact.to_npy_bytes(bias),
        "items.json": artefact.to_json_bytes([*model.item_ids, *fresh]),
        "golden.npz": golden.to_bytes(inputs, outputs, model.heads),
    }
    return artefact.write(registry, files, model.manifest)


def _grown(
    table: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], more: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    like = rng.integers(1, len(table), more)
    rows = table[like] + rng.normal(0, 0.02, (more, table.shape[1])).astype(np.float32)
    return np.concatenate([table, rows]), np.concatenate([bias, bias[like]])

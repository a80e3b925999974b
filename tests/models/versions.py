"""Small but whole model versions for a registry, without training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from models.engines import golden
from models.engines.onnx import OnnxEngine
from models.features.features import FEATURE_SET_HASH
from models.heads.calibration import Calibration
from models.heads.stack import Mix, Stack
from models.network import export
from models.storage import artefact
from tests.models import world


def version_files(item_ids: Sequence[str], seed: int = 0) -> dict[str, bytes]:
    """Files of an untrained network on a catalogue; each seed is another network."""
    return dict(_version_files(tuple(item_ids), seed))


@cache
def _version_files(item_ids: tuple[str, ...], seed: int) -> dict[str, bytes]:
    table, bias = world.catalogue(len(item_ids))
    network = world.network(seed)
    graph = export.to_onnx(network, table)
    inputs = world.inputs(16, len(item_ids))
    churn = Stack(Mix(0.5, 0.7, 0.1, Calibration(slope=0.5)), world.trees())
    assert churn.booster is not None
    scores = OnnxEngine(graph, table, bias).score(inputs)
    return {
        "model.onnx": graph,
        "model.fp16.onnx": export.to_onnx(network, table, torch.float16),
        "item_table.npy": artefact.to_npy_bytes(table),
        "item_bias.npy": artefact.to_npy_bytes(bias),
        "items.json": artefact.to_json_bytes(list(item_ids)),
        "heads.json": artefact.to_json_bytes({"churn": churn.to_json(), "risk": None}),
        "trees_churn.txt": churn.booster.text.encode(),
        "trees_risk.txt": b"none",
        "ranker.json": artefact.to_json_bytes(None),
        "golden.npz": golden.to_bytes(inputs, scores, {"churn": churn}),
    }


def store(root: Path, files: dict[str, bytes], **manifest: object) -> str:
    """Store them as a version of this code's feature set."""
    return artefact.write(root, files, {"feature_set_hash": FEATURE_SET_HASH} | manifest)

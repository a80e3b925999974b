"""The registry gives back what was stored, or says why it doesn't."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import artefact, export, golden, registry
from models.calibration import Calibration, sigmoid
from models.features import FEATURE_SET_HASH
from models.onnx_engine import OnnxEngine
from models.stack import Mix, Stack
from schemas.errors import ArtefactError
from tests.models import world

N_ITEMS = 30


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    net, (table, bias) = world.network(), world.catalogue(N_ITEMS)
    graph = export.to_onnx(net, table)
    inputs = world.inputs(16, N_ITEMS)
    churn = Stack(Mix(0.5, 0.7, 0.1, Calibration(slope=0.5)), world.trees())
    assert churn.booster is not None
    scores = OnnxEngine(graph, table, bias).score(inputs)
    return {
        "model.onnx": graph,
        "model.fp16.onnx": export.to_onnx(net, table, torch.float16),
        "item_table.npy": artefact.to_npy_bytes(table),
        "item_bias.npy": artefact.to_npy_bytes(bias),
        "items.json": artefact.to_json_bytes([f"item-{i}" for i in range(N_ITEMS)]),
        "heads.json": artefact.to_json_bytes({"churn": churn.to_json(), "risk": None}),
        "trees_churn.txt": churn.booster.text.encode(),
        "trees_risk.txt": b"none",
        "ranker.json": artefact.to_json_bytes(None),
        "golden.npz": golden.to_bytes(inputs, scores, {"churn": churn}),
    }


def store(root: Path, files: dict[str, bytes], **manifest: object) -> str:
    return artefact.write(root, files, {"feature_set_hash": FEATURE_SET_HASH} | manifest)


def test_what_is_stored_is_loaded(tmp_path: Path, files: dict[str, bytes]) -> None:
    version = store(tmp_path, files, seed=1)
    model = registry.load(tmp_path, version)
    assert model.version == version
    assert model.item_ids[4] == "item-4"
    assert model.manifest["seed"] == 1
    inputs = world.inputs(5, N_ITEMS, seed=3)
    scores = model.engine.score(inputs)
    assert scores.candidates.shape == (5, N_ITEMS)
    logit = 0.5 * scores.churn_logit + 0.7 * world.trees().logit(inputs.features) + 0.1
    assert model.logit("churn", scores, inputs.features) == pytest.approx(logit)
    assert model.probability("churn", scores, inputs.features) == pytest.approx(
        sigmoid(0.5 * logit)
    )
    assert not model.ships("risk")
    with pytest.raises(ArtefactError, match="no risk head"):
        model.probability("risk", scores, inputs.features)


def test_the_same_content_is_the_same_version(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert store(tmp_path, files) == store(tmp_path, files)
    assert store(tmp_path, files, seed=2) != store(tmp_path, files)
    assert len(registry.versions(tmp_path)) == 2


@pytest.mark.parametrize("name", [*artefact.FILES, artefact.MANIFEST])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damage_is_refused_before_anything_is_opened(
    tmp_path: Path, files: dict[str, bytes], name: str, damage: str
) -> None:
    path = tmp_path / store(tmp_path, files) / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[:-1])
    else:
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    with pytest.raises(ArtefactError, match=name):
        registry.load(tmp_path, path.parent.name)


def test_another_feature_set_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    version = artefact.write(tmp_path, files, {"feature_set_hash": "0" * 64})
    with pytest.raises(ArtefactError, match="feature set 000000000000"):
        registry.load(tmp_path, version)


def test_an_engine_that_disagrees_with_the_golden_outputs_is_refused(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    table, _ = world.catalogue(N_ITEMS)
    other = export.to_onnx(world.network(seed=9), table)
    version = store(tmp_path, files | {"model.onnx": other})
    with pytest.raises(ArtefactError, match="golden"):
        registry.load(tmp_path, version)


def test_heads_that_disagree_with_the_golden_outputs_are_refused(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    other = world.trees(seed=5).text.encode()
    version = store(tmp_path, files | {"trees_churn.txt": other})
    with pytest.raises(ArtefactError, match="golden"):
        registry.load(tmp_path, version)


@pytest.mark.parametrize("text", [b"none", b"tree\nversion=v4\n"])
def test_heads_without_their_trees_are_refused(
    tmp_path: Path, files: dict[str, bytes], text: bytes
) -> None:
    version = store(tmp_path, files | {"trees_churn.txt": text})
    with pytest.raises(ArtefactError, match="trees"):
        registry.load(tmp_path, version)


def test_promotion_remembers_the_way_back(tmp_path: Path, files: dict[str, bytes]) -> None:
    one, two = store(tmp_path, files, seed=1), store(tmp_path, files, seed=2)
    assert registry.resolve(tmp_path, "champion") is None
    registry.promote(tmp_path, one)
    registry.promote(tmp_path, one)
    assert registry.resolve(tmp_path, "previous") is None
    registry.promote(tmp_path, two)
    assert registry.load(tmp_path).version == two
    assert registry.rollback(tmp_path) == one
    assert registry.load(tmp_path).version == one
    assert registry.rollback(tmp_path) == two


def test_a_damaged_version_is_never_promoted(tmp_path: Path, files: dict[str, bytes]) -> None:
    good, bad = store(tmp_path, files, seed=1), store(tmp_path, files, seed=2)
    registry.promote(tmp_path, good)
    (tmp_path / bad / "item_table.npy").write_bytes(b"")
    with pytest.raises(ArtefactError):
        registry.promote(tmp_path, bad)
    assert registry.resolve(tmp_path, "champion") == good


def test_names_that_mean_nothing_are_errors_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="hark train"):
        registry.load(tmp_path / "nowhere")
    with pytest.raises(ArtefactError):
        registry.promote(tmp_path, "../../etc")
    with pytest.raises(ArtefactError, match="previous"):
        registry.rollback(tmp_path)
    (tmp_path / "champion").write_text("not a version")
    with pytest.raises(ArtefactError, match="doesn't hold a version"):
        registry.load(tmp_path)


def test_nothing_of_an_interrupted_store_counts(tmp_path: Path, files: dict[str, bytes]) -> None:
    version = store(tmp_path, files)
    leftover = tmp_path / f".{version}.1.partial"
    (tmp_path / version).rename(leftover)
    assert registry.versions(tmp_path) == []
    assert store(tmp_path, files) == version
    assert (
        json.loads((tmp_path / version / artefact.MANIFEST).read_text())["format"]
        == artefact.FORMAT
    )


def test_a_worker_loads_models_without_the_trainers_libraries() -> None:
    code = (
        "import sys; trainers = ('torch', 'scipy', 'onnx', 'lightgbm'); "
        "sys.modules |= dict.fromkeys(trainers); "  # as if they weren't installed
        "import models.registry, streams.answer"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

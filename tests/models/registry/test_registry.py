"""The registry gives back what was stored, or says why it doesn't."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.heads.calibration import sigmoid
from models.network import export
from models.registry import registry
from models.storage import artefact
from schemas.errors import ArtefactError, EngineError
from tests.models import world
from tests.models.versions import store, version_files

N_ITEMS = 30


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return version_files([f"item-{i}" for i in range(N_ITEMS)])


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
    known = model.what_if("churn", inputs, inputs.features[:, None])
    assert known[:, 0] == pytest.approx(logit, abs=1e-5)
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


def test_whatever_else_is_wrong_inside_is_a_refusal_too(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    """Hashes only say that the files are as they were made."""
    # This version ships no risk head, and its GPU graph isn't opened on a CPU.
    unread = {"trees_risk.txt", "model.fp16.onnx"}
    for name in set(artefact.FILES) - unread:
        version = store(tmp_path, files | {name: b"nonsense"})
        with pytest.raises((ArtefactError, EngineError)):
            registry.load(tmp_path, version)


def test_no_file_of_a_version_may_hold_pickled_objects(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    version = store(tmp_path, files | {"item_table.npy": buffer.getvalue()})
    with pytest.raises(ArtefactError, match="allow_pickle"):
        registry.load(tmp_path, version)


def test_a_manifest_that_is_none_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    for text in (b"no json", b"[]", b'{"format": 1}', b'{"format": 1, "files": []}'):
        version = hashlib.sha256(text).hexdigest()[:12]
        (tmp_path / version).mkdir()
        (tmp_path / version / artefact.MANIFEST).write_bytes(text)
        with pytest.raises(ArtefactError):
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
        "import models.registry.registry, streams.serving.bound_model"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

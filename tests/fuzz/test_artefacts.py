"""A part of `python -m tests.fuzz artefacts`, in seconds; and what it found, one by one."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.features.table import NAMES
from models.heads import tree_text
from models.heads.calibration import Calibration
from models.heads.trees import Trees
from models.registry import registry
from models.storage import artefact
from models.storage.arrays import from_npy, from_npz
from schemas.errors import ArtefactError
from tests.fuzz import artefacts
from tests.fuzz.isolated import hunt
from tests.models import world
from tests.models.versions import store, version_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fuzz")
    artefacts.prepare(made)
    return made


def test_a_damaged_version_is_refused_in_one_line_or_answers_right(folder: Path) -> None:
    play = partial(artefacts.play, seed=1, folder=folder)
    assert hunt(play, range(60), hang_s=artefacts.HANG_S) == []


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return version_files([f"item-{i}" for i in range(30)])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("items.json", artefact.to_json_bytes(["a", "b"])),
        ("items.json", artefact.to_json_bytes(["a"] * 30)),
        ("items.json", artefact.to_json_bytes(list(range(30)))),
        ("item_bias.npy", artefact.to_npy_bytes(np.full(31, np.nan, np.float32))),
        ("item_table.npy", artefact.to_npy_bytes(np.zeros((31, 16)))),
    ],
)
def test_parts_that_don_t_fit_are_refused(
    tmp_path: Path, files: dict[str, bytes], name: str, data: bytes
) -> None:
    with pytest.raises(ArtefactError, match=r"items\.json|item_"):
        registry.load(tmp_path, store(tmp_path, files | {name: data}))


def test_golden_outputs_of_no_inputs_check_nothing_and_are_refused(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    empty = {name: array[:0] for name, array in from_npz(files["golden.npz"], "golden").items()}
    version = store(tmp_path, files | {"golden.npz": artefact.to_npz_bytes(empty)})
    with pytest.raises(ArtefactError, match="no golden inputs"):
        registry.load(tmp_path, version)


@pytest.mark.parametrize("medians", [None, [], {"hour": "noon"}, {"hour": None}])
def test_a_manifest_that_a_worker_could_not_read_is_refused(
    tmp_path: Path, files: dict[str, bytes], medians: object
) -> None:
    with pytest.raises(ArtefactError, match="feature_medians"):
        registry.load(tmp_path, store(tmp_path, files, feature_medians=medians))


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    version = store(tmp_path, files)
    (tmp_path / version / "model.onnx").unlink()
    os.mkfifo(tmp_path / version / "model.onnx")
    with pytest.raises(ArtefactError, match="isn't a file"):
        registry.load(tmp_path, version)
    os.mkfifo(tmp_path / "champion")
    with pytest.raises(ArtefactError, match="no model"):
        registry.load(tmp_path)


def test_an_array_that_promises_more_than_it_holds_is_refused() -> None:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(400)
    with pytest.raises(ArtefactError, match="doesn't fit"):
        from_npy(data, "an array")


@pytest.mark.parametrize(
    "stored",
    [
        {"slope": float("nan")}, {"slope": -1.0}, {"intercept": "a"}, {"method": "isotonic"},
        {"method": "isotonic", "x": [0.0, 1.0], "y": [0.5, 0.4]},
        {"method": "isotonic", "x": [1.0, 0.0], "y": [0.4, 0.5]},
        {"method": "isotonic", "x": [0.0, 1.0], "y": [0.5, 1.5]},
    ],
    ids=str,
)  # fmt: skip
def test_a_curve_that_isn_t_one_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ArtefactError, match="calibration"):
        Calibration.from_json(stored)


EXTREMES = np.array(
    [0, -0.0, 1e-35, -1e-35, 1.1e-35, 1e-40, 1, -1, 3e38, np.inf, -np.inf, np.nan], np.float32
)


def mixed(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Features (rows, F): noise, whole numbers and extremes."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 2, (rows, len(NAMES))).astype(np.float32)
    found[:, ::3] = np.round(found[:, ::3])
    return np.where(rng.random(found.shape) < 0.3, rng.choice(EXTREMES, found.shape), found)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("head", "missing"), [("churn", False), ("risk", False), ("risk", True)])
def test_trees_answer_as_lightgbm_itself(head: str, seed: int, missing: bool) -> None:
    """`missing`: LightGBM saw NaN in training, as no training of Hark's does, and learnt a side."""
    import lightgbm

    seen = np.nan_to_num(mixed(1_500, seed), nan=np.nan if missing else 0.0)  # but no infinities
    labels = np.nan_to_num(np.sign(seen[:, :3])).sum(axis=1) > 1
    trees = Trees.fit(seen, labels, head, seed=seed, rounds=60)
    assert ("decision_type=8" in trees.text or "decision_type=10" in trees.text) == missing
    native = lightgbm.Booster(model_str=trees.text)
    for rows in (1, 12, 700):
        asked = mixed(rows, 10 + seed)
        assert (trees.logit(asked) == native.predict(asked, raw_score=True)).all()
    gain = native.feature_importance("gain")
    assert trees.importance() == {
        NAMES[i]: gain[i] / gain.sum() for i in np.argsort(-gain, kind="stable")
    }


def test_a_tree_may_be_a_single_leaf() -> None:
    import lightgbm

    trees = Trees.fit(mixed(60, 0), np.arange(60) < 20, "churn", rounds=3, min_data_in_leaf=40)
    assert "num_leaves=1\n" in trees.text
    native = lightgbm.Booster(model_str=trees.text)
    assert (trees.logit(mixed(5, 1)) == native.predict(mixed(5, 1), raw_score=True)).all()


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("left_child=2 -2 -1", "left_child=0 -2 -1"),  # a circle
        ("left_child=2 -2 -1", "left_child=2 -2 -9"),  # no such leaf
        ("split_feature=0 0 0", "split_feature=0 0 999"),
        ("num_leaves=4", "num_leaves=400000"),
        ("num_cat=0", "num_cat=1"),
        ("decision_type=2 2 2", "decision_type=2 2 1"),
        ("threshold=", "threshold=nan "),
        ("objective=binary", "objective=regression"),
        ("Tree=1", "Tree=7"),
    ],
)
def test_trees_that_would_lead_a_loop_astray_are_refused(line: str, changed: str) -> None:
    text = world.trees().text
    assert line in text
    with pytest.raises(ArtefactError, match="trees"):
        tree_text.read(text.replace(line, changed, 1), NAMES)


def test_any_damage_to_the_text_is_refused_or_harmless() -> None:
    text, rng = world.trees().text, random.Random(1)
    for _ in range(300):
        at = rng.randrange(len(text))
        try:
            tree_text.read(text[:at] + rng.choice("0 -=\nx9.") + text[at + 1 :], NAMES)
        except ArtefactError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some changes are harmless

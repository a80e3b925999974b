"""A decision is the same alone and in any company, whatever kernels the libraries choose.

OpenBLAS and numpy choose among kernels by the processor. Told to be another one they do as they
would there, so that one machine shows what holds on others; each setting needs a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy._core import _multiarray_umath as numpy_core

from models.engines import golden
from models.heads.calibration import Calibration
from models.heads.stack import Mix, Stack
from models.ranking.candidates import CANDIDATE_FEATURES
from models.ranking.ranker import Ranker
from models.storage import artefact
from tests.models import versions, world
from tests.streams.same_answers import CUTS, ITEMS

ROOT = Path(__file__).resolve().parents[2]
HERE = "this machine"
CLOSE = 1e-5
CURVE = Calibration("isotonic", x=[-1.0, -0.2, 0.1, 0.9], y=[0.05, 0.2, 0.6, 0.9])


def processors() -> dict[str, dict[str, str]]:
    """Name -> environment; the first is this machine as it is.

    Both libraries change in a process, since a process costs most of the time.
    """
    found = [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__[name]]
    wide = [name for name in found if name == "X86_V4" or name.startswith("AVX512")]
    settings = {
        HERE: {},
        "Haswell, without AVX-512": _environment("Haswell", wide),
        "Zen, without AVX2": _environment("Zen", found),
    }
    if wide:
        settings["SkylakeX"] = _environment("SkylakeX", [])
    return settings


def _environment(core: str, taken_away: list[str]) -> dict[str, str]:
    disabled = {"NPY_DISABLE_CPU_FEATURES": " ".join(taken_away)} if taken_away else {}
    return {"OPENBLAS_CORETYPE": core} | disabled


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By processor, what `tests.streams.same_answers` writes."""
    root, out = tmp_path_factory.mktemp("registry"), tmp_path_factory.mktemp("answers")
    version = versions.store(root, files())

    def answer(name: str) -> dict[str, Any]:
        setting, found = settings[name], out / f"{name}.json"
        given = str(root), version, str(found), *map(str, CUTS if name == HERE else CUTS[3:])
        command = [sys.executable, "-m", "tests.streams.same_answers", *given]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | setting, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "cannot disable" not in done.stderr, done.stderr
        told: dict[str, Any] = json.loads(found.read_text())
        return told

    settings = processors()
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(settings, pool.map(answer, settings), strict=True))


def files() -> dict[str, bytes]:
    """A version in which every part of an answer counts: both heads, both curves, a ranker."""
    made = versions.version_files([f"i{n}" for n in range(ITEMS)])
    rng = np.random.default_rng(0)
    ranker = Ranker(rng.normal(0, 0.3, len(CANDIDATE_FEATURES)).astype(np.float32))
    heads = {
        "churn": Stack(Mix(0.5, 0.7, 0.1, Calibration(slope=0.5)), world.trees()),
        "risk": Stack(Mix(0.5, 0.7, 0.1, CURVE), world.trees(1)),
    }
    for name, head in heads.items():
        assert head.booster is not None
        made[f"trees_{name}.txt"] = head.booster.text.encode()
    inputs, scores = golden.from_bytes(made["golden.npz"])
    return made | {
        "heads.json": artefact.to_json_bytes({n: head.to_json() for n, head in heads.items()}),
        "ranker.json": artefact.to_json_bytes(ranker.to_json()),
        "golden.npz": golden.to_bytes(inputs, scores, heads),
    }


def test_on_one_processor_the_cut_of_the_log_changes_no_bit(
    answers: dict[str, dict[str, Any]],
) -> None:
    for name, told in answers.items():
        assert len(told["by_cut"]) >= 3
        assert len(set(told["by_cut"].values())) == 1, (name, told["by_cut"])


def test_on_one_processor_company_changes_no_bit_of_any_step(
    answers: dict[str, dict[str, Any]],
) -> None:
    for name, told in answers.items():
        assert told["differing"] == [], name


def test_on_other_processors_lists_are_equal_and_probabilities_close(
    answers: dict[str, dict[str, Any]],
) -> None:
    here = answers[HERE]
    assert len(here["lists"]) > 50
    for name, told in answers.items():
        assert told["lists"] == here["lists"], name
        for head, probabilities in here["probabilities"].items():
            assert len(probabilities) > 5, head
            assert told["probabilities"][head].keys() == probabilities.keys()
            off = [abs(p - told["probabilities"][head][at]) for at, p in probabilities.items()]
            assert max(off) <= CLOSE, (name, head)

"""TensorRT where it works; where it doesn't, ONNX Runtime answers and the reason is told once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from models.engines import choice, golden, tensorrt
from models.engines.choice import open_onnx, opener
from models.engines.gpu_probe import Gpu, probe
from models.engines.gpu_shapes import ROWS_STEP
from models.engines.onnx import OnnxEngine
from models.engines.tensorrt_plan import PlanCache, plan_name
from models.network import export
from schemas.errors import EngineError
from streams.settings import Settings
from tests.models import world
from tests.models.engines import emulated_gpu

N_ITEMS = 50
GPU = Gpu("emulated", "0.0", "0.0")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    net, catalogue = world.network(), world.catalogue(N_ITEMS)
    graph, inputs = export.to_onnx(net, catalogue[0]), world.inputs(20, N_ITEMS)
    return {
        "model.onnx": graph,
        "model.fp16.onnx": export.to_onnx(net, catalogue[0], torch.float16),
        "golden.npz": golden.to_bytes(inputs, OnnxEngine(graph, *catalogue).score(inputs), {}),
    }


@pytest.fixture
def on_emulated_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Gpu]:
    cudart = emulated_gpu.Runtime()
    trt = emulated_gpu.TensorRT(cudart, (ROWS_STEP, 16, world.N_FEATURES))
    monkeypatch.setattr(tensorrt, "cuda_runtime", lambda: cudart)
    monkeypatch.setattr(tensorrt, "tensorrt_module", lambda: trt)
    return lambda: GPU


def test_without_a_gpu_onnx_answers_and_says_why_once(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    told: list[str] = []

    def look() -> Gpu:
        raise EngineError("CUDA: no device")

    for wanted in ("auto", "tensorrt"):
        open_engine = opener(wanted, tmp_path, told.append, look=look)
        for _ in range(2):
            assert open_engine(files, *world.catalogue(N_ITEMS)).backend == "onnx"
    assert told == ["CUDA: no device"] * 2  # once for each of the two workers


def test_onnx_when_it_is_asked_for_looks_for_no_gpu(tmp_path: Path) -> None:
    assert opener("onnx", tmp_path, pytest.fail) is open_onnx


def test_a_plan_that_agrees_with_the_golden_outputs_answers(
    files: dict[str, bytes], tmp_path: Path, on_emulated_gpu: Callable[[], Gpu]
) -> None:
    graph = files["model.fp16.onnx"]
    PlanCache(tmp_path).write(plan_name(graph, ROWS_STEP, GPU), graph)
    open_engine = opener("auto", tmp_path, pytest.fail, look=on_emulated_gpu)
    assert open_engine(files, *world.catalogue(N_ITEMS)).backend == "tensorrt"


def test_a_plan_that_disagrees_with_the_golden_outputs_does_not_answer(
    files: dict[str, bytes], tmp_path: Path, on_emulated_gpu: Callable[[], Gpu]
) -> None:
    graph = files["model.fp16.onnx"]
    other = export.to_onnx(world.network(seed=1), world.catalogue(N_ITEMS)[0], torch.float16)
    PlanCache(tmp_path).write(plan_name(graph, ROWS_STEP, GPU), other)
    told: list[str] = []
    open_engine = opener("tensorrt", tmp_path, told.append, look=on_emulated_gpu)
    assert open_engine(files, *world.catalogue(N_ITEMS)).backend == "onnx"
    (why,) = told
    assert "disagrees with its golden outputs" in why


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os.abort()", "exit -6"),
        ("raise SystemExit('broken driver')", "broken driver"),
        ('print(\'{"error": "CUDA: no device"}\')', "no device"),
    ],
)
def test_a_probe_that_dies_is_a_reason(code: str, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        probe((sys.executable, "-c", code))


def test_the_probe_finds_a_gpu_or_says_what_is_missing() -> None:
    try:
        gpu = probe()
    except EngineError as error:
        gpu, why = None, str(error)
    assert float(gpu.capability) >= 5.0 if gpu else ("CUDA" in why or "TensorRT" in why)


def test_the_setting_takes_what_there_is() -> None:
    choices = Settings.model_fields["model"].annotation.model_fields["engine"].annotation
    assert get_args(choices) == get_args(choice.Choice)

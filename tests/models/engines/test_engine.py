"""The exported graph answers like the network it came from, whatever it is batched with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from models.engines import tensorrt
from models.engines.engine import Engine, Scores, each_alone
from models.engines.golden import difference
from models.engines.gpu_probe import Gpu, probe
from models.engines.gpu_shapes import ROWS_STEP
from models.engines.onnx import OnnxEngine
from models.engines.tensorrt import TensorRTEngine
from models.engines.tensorrt_plan import PlanCache, plan_name
from models.features.model_inputs import ModelInputs
from models.heads.stack import HEADS
from models.network import export
from models.network.network import Network
from schemas.errors import EngineError
from tests.models import world
from tests.models.engines import emulated_gpu

N_ITEMS = 200


@dataclass(frozen=True)
class Opened:
    """An engine to put to the test, and what opens it on another catalogue."""

    engine: Engine
    on: Callable[[int], Engine]

    @property
    def close(self) -> float:
        """How far a logit may be from torch's."""
        return 1e-4 if self.engine.backend == "onnx" else self.engine.tolerance.logit


@pytest.fixture(scope="module")
def net() -> Network:
    return world.network()


@pytest.fixture(scope="module")
def graph(net: Network) -> bytes:
    return export.to_onnx(net, world.catalogue(N_ITEMS)[0])


@pytest.fixture(
    scope="module",
    params=["onnx", "emulated", pytest.param("tensorrt", marks=pytest.mark.gpu)],
)
def opened(
    request: pytest.FixtureRequest, net: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """Every engine: ONNX Runtime, TensorRT's on a GPU made of host memory, and TensorRT's."""
    if request.param == "onnx":
        graph = export.to_onnx(net, world.catalogue(N_ITEMS)[0])
        yield _opened(lambda n: OnnxEngine(graph, *world.catalogue(n)))
        return
    graph = export.to_onnx(net, world.catalogue(N_ITEMS)[0], torch.float16)
    plans, sizes = tmp_path_factory.mktemp("plans"), (ROWS_STEP, 16, world.N_FEATURES)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "tensorrt":
            try:
                gpu = probe()
            except EngineError as error:
                pytest.skip(f"no GPU to run TensorRT on: {error}")
        else:
            gpu, cudart = Gpu("emulated", "0.0", "0.0"), emulated_gpu.Runtime()
            PlanCache(plans).write(plan_name(graph, ROWS_STEP, gpu), graph)
            trt = emulated_gpu.TensorRT(cudart, sizes)
            patch.setattr(tensorrt, "cuda_runtime", lambda: cudart)
            patch.setattr(tensorrt, "tensorrt_module", lambda: trt)
        yield _opened(
            lambda n: TensorRTEngine(
                graph, *world.catalogue(n), n_features=sizes[2], gpu=gpu, plans=plans
            )
        )


def _opened(on: Callable[[int], Engine]) -> Opened:
    return Opened(on(N_ITEMS), on)


@pytest.fixture
def engine(opened: Opened) -> Engine:
    return opened.engine


def agree(opened: Opened, one: Scores, other: Scores) -> bool:
    moved = opened.engine.tolerance.moved
    return difference(one, other, moved) < opened.close


def torch_scores(net: Network, inputs: ModelInputs) -> Scores:
    return export.torch_scores(net, inputs, *world.catalogue(N_ITEMS))


def test_it_answers_like_torch(net: Network, opened: Opened) -> None:
    inputs = world.inputs(300, N_ITEMS)
    assert agree(opened, torch_scores(net, inputs), opened.engine.score(inputs))


def test_an_answer_depends_on_its_row_alone(opened: Opened) -> None:
    inputs, engine = world.inputs(300, N_ITEMS), opened.engine
    # A GPU has other kernels for other shapes, and they round differently.
    close = 1e-5 if engine.backend == "onnx" else engine.tolerance.logit
    together = engine.score(inputs)
    for row in (0, 77, 299):
        alone = engine.score(inputs.take(np.array([row])))
        part = Scores(
            together.candidates[[row]],
            together.scores[[row]],
            together.queries[[row]],
            together.churn_logit[[row]],
            together.risk_logit[[row]],
        )
        assert difference(part, alone, engine.tolerance.moved) < close


@pytest.mark.parametrize("questions", [1, 33])
def test_other_features_are_answered_as_if_they_were_known(
    opened: Opened, questions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, engine = world.inputs(70, N_ITEMS), opened.engine
    drawn = np.random.default_rng(3).normal(size=(70, questions, inputs.features.shape[1]))
    features = drawn.astype(np.float32)
    found, wanted = engine.what_if(inputs, features), each_alone(engine, inputs, features)
    for head in HEADS:
        assert found[head].shape == (70, questions)
        assert np.abs(found[head] - wanted[head]).max() < opened.close
    assert np.ptp(found["churn"]) > 10 * opened.close
    # As with a graph of an earlier version.
    monkeypatch.setattr(engine, "_reads_once", False, raising=False)
    assert np.abs(engine.what_if(inputs, features)["churn"] - found["churn"]).max() < opened.close
    original = engine.what_if(inputs, inputs.features[:, None])["risk"][:, 0]
    assert np.abs(original - engine.score(inputs).risk_logit).max() < opened.close


def test_padding_is_never_read(engine: Engine) -> None:
    inputs = world.inputs(50, N_ITEMS)
    outside = np.arange(64) >= inputs.lengths[:, None]
    noisy = ModelInputs(
        item_rows=np.where(outside, 3, inputs.item_rows),
        kinds=np.where(outside, 5, inputs.kinds),
        gaps=np.where(outside, 9, inputs.gaps),
        hours=np.where(outside, 8, inputs.hours),
        amounts=np.where(outside, 2.0, inputs.amounts).astype(np.float32),
        features=inputs.features,
        lengths=inputs.lengths,
    )
    assert difference(engine.score(inputs), engine.score(noisy)) == 0.0


def test_candidates_are_the_best_items_of_the_table(opened: Opened) -> None:
    table, bias = world.catalogue(N_ITEMS)
    answer = opened.engine.score(world.inputs(20, N_ITEMS))
    logits = answer.queries @ table.T + bias
    assert answer.candidates.shape == (20, 64)
    assert answer.candidates.min() >= 1
    best = np.argsort(-logits, axis=1)[:, :10]
    assert np.array_equal(best, answer.candidates[:, :10])
    assert (
        np.abs(np.take_along_axis(logits, best, axis=1) - answer.scores[:, :10]).max()
        < opened.close
    )


def test_the_catalogue_grows_without_another_graph(opened: Opened) -> None:
    larger = opened.on(5 * N_ITEMS)
    assert larger.score(world.inputs(40, N_ITEMS)).candidates.max() > N_ITEMS


@pytest.mark.parametrize("n_items", [0, 3])
def test_a_catalogue_smaller_than_the_list_is_answered_whole(n_items: int) -> None:
    table, bias = world.catalogue(n_items)
    net = world.network()
    engine = OnnxEngine(export.to_onnx(net, table), table, bias)
    answer = engine.score(world.inputs(5, n_items))
    assert answer.candidates.shape == (5, n_items)
    assert (answer.candidates >= 1).all()


def test_no_rows_have_no_answers(engine: Engine) -> None:
    answer = engine.score(world.inputs(5, N_ITEMS).take(np.zeros(0, dtype=np.int64)))
    assert len(answer.candidates) == len(answer.churn_logit) == 0


def test_the_future_is_out_of_sight(net: Network) -> None:
    """What training sees at position t is what serving sees when t is the newest event."""
    inputs = world.inputs(8, N_ITEMS)
    table = torch.from_numpy(world.catalogue(N_ITEMS)[0])
    tokens = [
        torch.from_numpy(getattr(inputs, name))
        for name in ("item_rows", "kinds", "gaps", "hours", "amounts")
    ]
    with torch.no_grad():
        events = net.encode(*tokens, table)
        states = net.states(events, torch.zeros_like(events))
        for t in (0, 5, 40):
            part = net.encode(*(token[:, : t + 1] for token in tokens), table)
            last = net.answer(part, torch.zeros(8, 16), torch.full((8,), t + 1))
            assert (last - states[:, t]).abs().max() < 1e-5


def test_the_same_weights_are_the_same_bytes(net: Network, graph: bytes) -> None:
    again = export.to_onnx(net, world.catalogue(N_ITEMS)[0])
    assert again == graph
    assert b"/models/" not in graph


def test_a_broken_graph_is_an_engine_error(graph: bytes) -> None:
    with pytest.raises(EngineError, match="refuses"):
        OnnxEngine(graph[: len(graph) // 2], *world.catalogue(N_ITEMS))
    wrong = OnnxEngine(graph, *world.catalogue(N_ITEMS, d=8))
    with pytest.raises(EngineError, match="failed"):
        wrong.score(world.inputs(3, N_ITEMS))

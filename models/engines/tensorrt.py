"""The GPU engine: TensorRT, one CUDA graph per shape, the catalogue resident on the device.

It runs the artefact's fp16 graph: encoder and heads in fp16, the choice among items in fp32 (TF32
on the tensor cores). Loading a model allocates, warms and captures everything; a batch is then
copied into pinned memory, launched, and read back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.cuda import Memory, Stream, cuda_runtime
from models.engines.engine import Logits, Scores, Tolerance, each_alone
from models.engines.gpu_probe import Gpu, tensorrt_module
from models.engines.gpu_shapes import SHAPES, Shape, padded_catalogue, pieces
from models.engines.tensorrt_plan import CATALOGUE, TOKENS, PlanCache, cached_plan, input_shapes
from models.features.model_inputs import ModelInputs
from models.heads.stack import HEADS
from schemas.errors import EngineError

FP16 = Tolerance(logit=0.05, moved=0.1)
"""About ten times what fp16 differs by where ONNX Runtime emulates it: .005, 4% of candidates."""
UNKNOWN_ITEM = -1e4
_INT64 = ("item_rows", "kinds", "gaps", "hours", "lengths", "candidates")
_OUTPUTS = ("candidates", "scores", "queries", "churn_logit", "risk_logit")


class TensorRTEngine:
    """Runs an exported fp16 network on the GPU. Not thread-safe.

    Parameters
    ----------
    graph
        The serialised ONNX graph.
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,).
    n_features
        F, the number of features.
    gpu
        The device, as `probe` returned it.
    plans
        Directory of the plan cache.

    Raises
    ------
    EngineError
        TensorRT can't build or load the plan, or CUDA fails.
    """

    backend = "tensorrt"
    tolerance = FP16

    def __init__(
        self,
        graph: bytes,
        item_table: npt.NDArray[np.float32],
        item_bias: npt.NDArray[np.float32],
        *,
        n_features: int,
        gpu: Gpu,
        plans: Path,
    ) -> None:
        trt, cudart = tensorrt_module(), cuda_runtime()
        self._items = len(item_table) - 1
        table, bias = padded_catalogue(item_table, item_bias, UNKNOWN_ITEM)
        sizes = len(table), table.shape[1], n_features
        plan = cached_plan(trt, graph, *sizes, gpu=gpu, cache=PlanCache(plans))
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError("TensorRT can't load the plan; its log says why")
        _check_types(trt, engine)
        self._engine = engine
        self._memory, self._stream = Memory(cudart), Stream(cudart)
        on_device = self._memory.copied(table)
        catalogue = dict(
            zip(CATALOGUE, (on_device, on_device, self._memory.copied(bias)), strict=True)
        )
        self._runners = {
            shape: _Runner(
                _context(trt, engine, number, self._stream),
                input_shapes(shape, *sizes),
                catalogue,
                self._memory,
                self._stream,
            )
            for number, shape in enumerate(SHAPES)
        }

    def score(self, inputs: ModelInputs) -> Scores:
        """Score every row, shape by shape.

        Raises
        ------
        EngineError
            CUDA fails; there are no partial results.
        """
        found: dict[str, npt.NDArray[Any]] = {}
        for rows, shape in pieces(inputs.lengths):
            for name, answer in self._runners[shape].run(inputs, rows, shape).items():
                if name not in found:
                    found[name] = np.empty((len(inputs), *answer.shape[1:]), answer.dtype)
                found[name][rows] = answer
        if not found:
            smallest = self._runners[SHAPES[0]].outputs
            found = {name: smallest[name][:0] for name in _OUTPUTS}
        for name in ("candidates", "scores"):
            found[name] = found[name][:, : self._items]  # a small catalogue's tail is padding
        return Scores(**found)

    def what_if(self, inputs: ModelInputs, features: npt.NDArray[np.float32]) -> Logits:
        """The logits with other features, see `Engine.what_if`; a plan has no Q but 1."""
        if features.shape[1] != 1:
            return each_alone(self, inputs, features)
        scores = self.score(replace(inputs, features=features[:, 0]))
        return {head: scores.logit(head)[:, None] for head in HEADS}


class _Runner:
    """Context, buffers and captured graph of one shape.

    Attributes
    ----------
    outputs
        Pinned arrays that a run fills.
    """

    def __init__(
        self,
        context: Any,
        shapes: dict[str, tuple[int, ...]],
        catalogue: dict[str, int],
        memory: Memory,
        stream: Stream,
    ) -> None:
        self._context, self._stream = context, stream
        self._inputs = {
            name: memory.pinned(size, _dtype(name))
            for name, size in shapes.items()
            if name not in catalogue
        }
        self._inputs["lengths"][:] = 1  # padding rows must be valid histories, too
        for name, size in shapes.items():
            if not context.set_input_shape(name, size):
                raise EngineError(f"TensorRT refuses {name} of shape {size}")
        self.outputs = {
            name: memory.pinned(tuple(context.get_tensor_shape(name)), _dtype(name))
            for name in _OUTPUTS
        }
        buffers = self._inputs | self.outputs
        addresses = {name: memory.device(array.nbytes) for name, array in buffers.items()}
        for name, address in (addresses | catalogue).items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"TensorRT refuses the address of {name}")
        self._enqueue(addresses)  # the first run allocates memory, which can't be captured
        stream.wait()
        with stream.capture() as captured:
            self._enqueue(addresses)
        (self._graph,) = captured

    def run(
        self, inputs: ModelInputs, rows: npt.NDArray[np.int64], shape: Shape
    ) -> dict[str, npt.NDArray[Any]]:
        """Score `rows`, at most as many as the shape holds; results are valid until the next run.

        Returns
        -------
        The arrays of `Scores` by name, with `len(rows)` rows each.
        """
        n = len(rows)
        for name, buffer in self._inputs.items():
            column = getattr(inputs, name)[rows]
            buffer[:n] = column[:, : shape.length] if name in TOKENS else column
        self._stream.launch(self._graph)
        self._stream.wait()
        return {name: array[:n] for name, array in self.outputs.items()}

    def _enqueue(self, addresses: dict[str, int]) -> None:
        for name, array in self._inputs.items():
            self._stream.upload(addresses[name], array)
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError("TensorRT can't run the plan; its log says why")
        for name, array in self.outputs.items():
            self._stream.download(array, addresses[name])


def _context(trt: Any, engine: Any, profile: int, stream: Stream) -> Any:
    """Create a context that holds the memory of one profile and no more."""
    strategy = trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
    context = engine.create_execution_context(strategy)
    if context is None or not context.set_optimization_profile_async(profile, stream.handle):
        raise EngineError(f"TensorRT has no memory for the profile of {SHAPES[profile]}")
    stream.wait()
    return context


def _check_types(trt: Any, engine: Any) -> None:
    """Raise EngineError unless the plan's inputs and outputs have the buffers' types."""
    for number in range(engine.num_io_tensors):
        name = engine.get_tensor_name(number)
        wanted = trt.DataType.INT64 if name in _INT64 else trt.DataType.FLOAT
        if engine.get_tensor_dtype(name) != wanted:
            raise EngineError(f"TensorRT made {name} {engine.get_tensor_dtype(name)}, not {wanted}")


def _dtype(name: str) -> type[np.int64] | type[np.float32]:
    return np.int64 if name in _INT64 else np.float32

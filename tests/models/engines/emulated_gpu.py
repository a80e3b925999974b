"""A GPU made of host memory: CUDA's and TensorRT's calls as Hark makes them, on ONNX Runtime.

It shows that shapes, padding, copies, captured graphs and the way back are right, whatever the
device computes. What only a device can show, the tests marked `gpu` show on one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

from models.engines.gpu_shapes import SHAPES
from models.engines.tensorrt_plan import input_shapes


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class Runtime:
    """`cuda.bindings.runtime`, as far as `models/engines/cuda.py` calls it."""

    cudaHostAllocDefault, cudaStreamNonBlocking = 0, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self) -> None:
        self.blocks: dict[int, Any] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.launches = 0

    def cudaMalloc(self, nbytes: int) -> tuple[Error, int]:
        # No initial value is promised: 0x7f makes what is never written stand out.
        block = ctypes.create_string_buffer(b"\x7f" * nbytes, nbytes)
        self.blocks[ctypes.addressof(block)] = block
        return Error.cudaSuccess, ctypes.addressof(block)

    def cudaHostAlloc(self, nbytes: int, flags: int) -> tuple[Error, int]:
        return self.cudaMalloc(nbytes)

    def cudaFree(self, address: int) -> tuple[Error]:
        del self.blocks[address]
        return (Error.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaMemcpy(self, target: int, source: int, nbytes: int, kind: int) -> tuple[Error]:
        ctypes.memmove(target, source, nbytes)
        return (Error.cudaSuccess,)

    def cudaMemcpyAsync(
        self, target: int, source: int, nbytes: int, kind: int, stream: int
    ) -> tuple[Error]:
        self.do(lambda: ctypes.memmove(target, source, nbytes))
        return (Error.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Error, int]:
        return Error.cudaSuccess, 1

    def cudaStreamDestroy(self, stream: int) -> tuple[Error]:
        return (Error.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Error]:
        return (Error.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Error]:
        self.recording = []
        return (Error.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Error, Any]:
        graph, self.recording = self.recording, None
        return Error.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Error, Any]:
        return Error.cudaSuccess, tuple(graph)

    def cudaGraphDestroy(self, graph: Any) -> tuple[Error]:
        return (Error.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph: Any) -> tuple[Error]:
        return (Error.cudaSuccess,)

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Error]:
        self.launches += 1
        for step in graph:
            step()
        return (Error.cudaSuccess,)

    def do(self, work: Callable[[], Any]) -> None:
        """Now, or when the graph that is being captured is launched."""
        if self.recording is None:
            work()
        else:
            self.recording.append(work)


class TensorRT:
    """`tensorrt`, as far as loading and running a plan goes; the plan is the ONNX graph."""

    DataType = SimpleNamespace(INT64="int64", FLOAT="float")
    ExecutionContextAllocationStrategy = SimpleNamespace(ON_PROFILE_CHANGE=1)

    class Logger:
        ERROR = 0

        def __init__(self, severity: int) -> None: ...

    def __init__(self, cudart: Runtime, sizes: tuple[int, int, int]) -> None:
        self._cudart, self._sizes = cudart, sizes

    def Runtime(self, logger: Any) -> Any:
        return SimpleNamespace(
            deserialize_cuda_engine=lambda plan: _Engine(plan, self._cudart, self._sizes)
        )


class _Engine:
    def __init__(self, plan: bytes, cudart: Runtime, sizes: tuple[int, int, int]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(plan, options, providers=["CPUExecutionProvider"])
        self.cudart, self.sizes = cudart, sizes
        self.types = {
            node.name: {"tensor(int64)": np.int64, "tensor(float)": np.float32}[node.type]
            for node in (*self.session.get_inputs(), *self.session.get_outputs())
        }
        self.num_io_tensors = len(self.types)

    def get_tensor_name(self, number: int) -> str:
        return list(self.types)[number]

    def get_tensor_dtype(self, name: str) -> str:
        return "int64" if self.types[name] is np.int64 else "float"

    def create_execution_context(self, strategy: int) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self._profile = input_shapes(SHAPES[profile], *self._engine.sizes)
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return self._profile[name] == shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return address in self._engine.cudart.blocks

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        types = self._engine.types
        feeds = {one: np.ones(shape, types[one]) for one, shape in self._shapes.items()}
        (answer,) = self._engine.session.run([name], feeds)
        return tuple(answer.shape)

    def execute_async_v3(self, stream: int) -> bool:
        self._engine.cudart.do(self._run)
        return True

    def _run(self) -> None:
        feeds = {name: self._at(name, shape).copy() for name, shape in self._shapes.items()}
        names = [node.name for node in self._engine.session.get_outputs()]
        for name, answer in zip(names, self._engine.session.run(names, feeds), strict=True):
            self._at(name, answer.shape)[...] = answer

    def _at(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype, count = self._engine.types[name], int(np.prod(shape))
        size = count * np.dtype(dtype).itemsize
        memory = (ctypes.c_byte * size).from_address(self._addresses[name])
        return np.frombuffer(memory, dtype, count).reshape(shape)

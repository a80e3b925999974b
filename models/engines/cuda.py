"""The part of CUDA that Hark needs: memory, a stream, and captured graphs.

It goes through NVIDIA's own bindings (`cuda-bindings`), so a worker needs no torch. A call that
fails raises `EngineError` with CUDA's name for the failure.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import EngineError

Dtype = npt.DTypeLike


def cuda_runtime() -> Any:
    """Return the module `cuda.bindings.runtime`; `EngineError` where it isn't installed."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise EngineError(f"no CUDA bindings: {error}; pip install 'hark[gpu]'") from error
    return runtime


def call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """Call a function of the CUDA runtime and return its value, None if it has none.

    Raises
    ------
    EngineError
        The call didn't return `cudaSuccess`.
    """
    error, *values = function(*arguments)
    if int(error) != 0:
        raise EngineError(f"CUDA: {function.__name__} failed: {error.name}")
    return values[0] if values else None


class Memory:
    """Allocations that live as long as this object."""

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        self._held: list[tuple[Callable[..., Any], int]] = []
        weakref.finalize(self, _release, self._held)

    def pinned(self, shape: tuple[int, ...], dtype: Dtype) -> npt.NDArray[Any]:
        """Allocate a zeroed array in host memory that the device can copy directly."""
        cudart = self._cudart
        count = int(np.prod(shape))
        nbytes = max(1, count * np.dtype(dtype).itemsize)
        address = int(call(cudart.cudaHostAlloc, nbytes, cudart.cudaHostAllocDefault))
        self._held.append((cudart.cudaFreeHost, address))
        memory = memoryview((ctypes.c_byte * nbytes).from_address(address))
        array: npt.NDArray[Any] = np.frombuffer(memory, dtype, count).reshape(shape)
        array[...] = 0
        return array

    def device(self, nbytes: int) -> int:
        """Allocate device memory and return its address."""
        address = int(call(self._cudart.cudaMalloc, max(1, nbytes)))
        self._held.append((self._cudart.cudaFree, address))
        return address

    def copied(self, array: npt.NDArray[Any]) -> int:
        """Copy the array to the device and return the copy's address."""
        cudart, address = self._cudart, self.device(array.nbytes)
        source = np.ascontiguousarray(array)
        call(
            cudart.cudaMemcpy,
            address,
            source.ctypes.data,
            source.nbytes,
            cudart.cudaMemcpyKind.cudaMemcpyHostToDevice,
        )
        return address


class Stream:
    """A queue of work on the device; work can be captured as a graph and launched again."""

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        self.handle = int(call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking))
        self._held: list[tuple[Callable[..., Any], Any]] = []
        weakref.finalize(self, _release, self._held)
        self._held.append((cudart.cudaStreamDestroy, self.handle))

    def upload(self, address: int, array: npt.NDArray[Any]) -> None:
        """Copy a pinned array to the device."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(address, array.ctypes.data, array.nbytes, kind)

    def download(self, array: npt.NDArray[Any], address: int) -> None:
        """Copy into a pinned array from the device."""
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, address, array.nbytes, kind)

    def wait(self) -> None:
        """Block until the device has done all work on the stream."""
        call(self._cudart.cudaStreamSynchronize, self.handle)

    @contextmanager
    def capture(self) -> Iterator[list[Any]]:
        """Record the work instead of doing it; on exit the yielded list holds the graph.

        Other threads may use the device meanwhile, so the current model keeps answering.
        """
        cudart = self._cudart
        captured: list[Any] = []
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call(cudart.cudaStreamBeginCapture, self.handle, mode)
        try:
            yield captured
        finally:
            graph = call(cudart.cudaStreamEndCapture, self.handle)
        executable = call(cudart.cudaGraphInstantiate, graph, 0)
        call(cudart.cudaGraphDestroy, graph)
        self._held.insert(0, (cudart.cudaGraphExecDestroy, executable))
        captured.append(executable)

    def launch(self, executable: Any) -> None:
        """Run a captured graph."""
        call(self._cudart.cudaGraphLaunch, executable, self.handle)

    def _copy(self, target: int, source: int, nbytes: int, kind: Any) -> None:
        call(self._cudart.cudaMemcpyAsync, target, source, nbytes, kind, self.handle)


def _release(held: list[tuple[Callable[..., Any], Any]]) -> None:
    for free, handle in held:
        free(handle)  # an error here has nowhere to go

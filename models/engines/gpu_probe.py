"""Find out in a separate process whether TensorRT can run on this machine.

Without a driver, parts of TensorRT end the process instead of raising, so a child process tries
first. `python -m models.engines.gpu_probe` prints the result as one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from models.engines.cuda import call, cuda_runtime
from schemas.errors import EngineError

TIMEOUT_S = 120.0
"""The first use of a driver may take half a minute."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device and the installed TensorRT.

    Attributes
    ----------
    name, capability
        Of the device, for example "NVIDIA H200" and "9.0".
    tensorrt
        Version of TensorRT.
    """

    name: str
    capability: str
    tensorrt: str


def tensorrt_module() -> Any:
    """Import TensorRT's Python module; `EngineError` where it or its libraries are missing."""
    for name in ("tensorrt", "tensorrt_bindings"):
        try:
            return __import__(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise EngineError(f"TensorRT: {error}") from error
        except ImportError as error:  # the module is there, a library it needs isn't
            raise EngineError(f"TensorRT: {error}") from error
    raise EngineError("TensorRT isn't installed; pip install 'hark[gpu]', and TensorRT's libraries")


def probe(command: tuple[str, ...] = (sys.executable, "-m", "models.engines.gpu_probe")) -> Gpu:
    """Return the device that TensorRT would use.

    Raises
    ------
    EngineError
        There is no device, or TensorRT doesn't start. The message says why.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"TensorRT doesn't start within {TIMEOUT_S:.0f} s") from error
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        raise EngineError(f"TensorRT ends its process (exit {done.returncode}){last}") from None
    if "error" in found:
        raise EngineError(found["error"])
    return Gpu(**found)


def look() -> Gpu:
    """Do in this process what `probe` does in a child process."""
    cudart = cuda_runtime()
    if not call(cudart.cudaGetDeviceCount):
        raise EngineError("CUDA: no device")
    properties = call(cudart.cudaGetDeviceProperties, 0)
    trt = tensorrt_module()
    trt.Builder(trt.Logger(trt.Logger.ERROR))
    name = properties.name
    return Gpu(
        name=name.decode() if isinstance(name, bytes) else str(name),
        capability=f"{properties.major}.{properties.minor}",
        tensorrt=str(trt.__version__),
    )


def main() -> None:
    """Print the device, or why there is none, as JSON."""
    try:
        answer: dict[str, str] = asdict(look())
    except Exception as error:  # noqa: BLE001 - any failure is the result
        answer = {"error": str(error) or type(error).__name__}
    print(json.dumps(answer))  # noqa: T201 - read by `probe`


if __name__ == "__main__":
    main()

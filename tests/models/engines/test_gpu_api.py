"""Every name of CUDA's and TensorRT's Python interfaces that Hark uses exists in the real ones.

Found in the source by what variables are called there. TensorRT's bindings load without its
libraries if something stands in for them, so nine functions do: no GPU is needed to ask what
exists and how many arguments it takes.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from models.engines import cuda, gpu_probe, tensorrt, tensorrt_plan

CLASS_OF = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "_runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
EXPORTED = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry",
    "initLibNvInferPlugins",
)  # fmt: skip
ASK = """
import json, sys
import tensorrt_bindings as trt
answer = {}
for path in json.loads(sys.argv[1]):
    found = trt
    for name in path.split("."):
        found = getattr(found, name, None)
    answer[path] = None if found is None else (found.__doc__ or "")
print(json.dumps(answer))
"""


class Use(NamedTuple):
    """A dotted name below TensorRT's module, and the arguments where it is called."""

    path: str
    arguments: int | None


def used(*roots: str) -> Iterator[Use]:
    """Where the source names something below one of `roots`."""
    for module in (cuda, gpu_probe, tensorrt_plan, tensorrt):
        tree = ast.parse(inspect.getsource(module))
        calls = {
            id(node.func): len(node.args) + len(node.keywords)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner, _, rest = _dotted(node).removeprefix("self.").partition(".")
                if owner in roots and rest:
                    path = f"{CLASS_OF[owner]}.{rest}" if owner in CLASS_OF else rest
                    yield Use(path, calls.get(id(node)))


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def test_every_name_of_the_cuda_runtime_exists() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="no cuda-bindings here")
    names = {use.path for use in used("cudart", "_cudart")}
    assert {"cudaMalloc", "cudaGraphLaunch", "cudaMemcpyKind.cudaMemcpyHostToDevice"} <= names
    for name in sorted(names):
        found = runtime
        for part in name.split("."):
            found = getattr(found, part, None)
        assert found is not None, name


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libraries that let the bindings load."""
    if importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("no tensorrt_bindings here: pip install 'hark[gpu]'")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make stand-ins for TensorRT's libraries")
    folder = tmp_path_factory.mktemp("stand-ins")
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in EXPORTED))
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        for version in (10, 11):
            target = folder / f"lib{library}.so.{version}"
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-o", str(target), str(source)], check=True
            )
    return folder


def test_every_name_of_tensorrt_exists_and_takes_the_arguments_it_is_given(
    stand_ins: Path,
) -> None:
    uses = set(used("trt", *CLASS_OF))
    paths = sorted({use.path for use in uses})
    assert {"Builder", "Logger.ERROR", "IExecutionContext.execute_async_v3"} <= set(paths)
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(paths)],
        env=os.environ | {"LD_LIBRARY_PATH": str(stand_ins)},
        capture_output=True,
        text=True,
        check=True,
    )
    documented: dict[str, str | None] = json.loads(done.stdout)
    assert [path for path, found in documented.items() if found is None] == []
    for path, arguments in sorted(uses, key=str):
        signatures = _signatures(path, documented[path] or "")
        if arguments is not None and signatures:
            assert any(low <= arguments <= high for low, high in signatures), path


def _signatures(path: str, text: str) -> list[tuple[int, int]]:
    """Fewest and most arguments of each overload, from pybind's documentation."""
    name = path.rsplit(".", maxsplit=1)[-1]
    found = []
    for match in re.finditer(rf"^(?:\d+\. )?{name}\((self: [^\n]*)\) ->", text, re.MULTILINE):
        given = re.findall(r"(?:^|, )(\w+): ", match[1])[1:]
        defaults = len(re.findall(r" = ", match[1]))
        found.append((len(given) - defaults, len(given)))
    return found

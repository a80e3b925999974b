"""Build a TensorRT plan from an ONNX graph: strongly typed, one fixed profile per shape."""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple
from pathlib import Path
from typing import Any

from models.engines.gpu_probe import Gpu
from models.engines.gpu_shapes import SHAPES, Shape
from models.storage.artefact import sync_directory, write_durably
from schemas.errors import EngineError

_DIGEST_BYTES = 32


class PlanCache:
    """Plans and timings in a directory, which is made when needed.

    Plans are code: only the worker's own user may write the directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """Return the stored bytes, or None if they are missing or damaged."""
        try:
            stored = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, data = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        return data if hashlib.sha256(data).digest() == digest else None

    def write(self, name: str, data: bytes) -> None:
        """Store a file atomically: a reader sees the old file or the new file, whole."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._folder / f".{name}.{os.getpid()}.partial"
        write_durably(partial, hashlib.sha256(data).digest() + data)
        partial.replace(self._folder / name)
        sync_directory(self._folder)


def plan_name(graph: bytes, rows: int, gpu: Gpu) -> str:
    """File name of the plan for a graph, an item table of `rows` rows and a GPU."""
    key = (hashlib.sha256(graph).hexdigest(), rows, SHAPES, *astuple(gpu))
    return f"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.plan"


def timings_name(gpu: Gpu) -> str:
    """File name of TensorRT's timings on a GPU, which every build extends."""
    return f"{hashlib.sha256(repr(astuple(gpu)).encode()).hexdigest()[:24]}.timings"


TOKENS = ("item_rows", "kinds", "gaps", "hours", "amounts")
CATALOGUE = ("item_table", "candidate_table", "candidate_bias")


def input_shapes(shape: Shape, rows: int, d: int, n_features: int) -> dict[str, tuple[int, ...]]:
    """The shape of every input of the graph for one profile."""
    return {
        **dict.fromkeys(TOKENS, (shape.batch, shape.length)),
        "features": (shape.batch, n_features),
        "lengths": (shape.batch,),
        "item_table": (rows, d),
        "candidate_table": (rows, d),
        "candidate_bias": (rows,),
    }


def cached_plan(
    trt: Any, graph: bytes, rows: int, d: int, n_features: int, *, gpu: Gpu, cache: PlanCache
) -> bytes:
    """Return the plan of a graph for an item table (rows, d); build and cache it if needed.

    Raises
    ------
    EngineError
        TensorRT can't parse or build the graph. The message is TensorRT's.
    """
    name = plan_name(graph, rows, gpu)
    plan = cache.read(name)
    if plan is None:
        timings = timings_name(gpu)
        plan, new_timings = build(trt, graph, rows, d, n_features, cache.read(timings) or b"")
        cache.write(name, plan)
        cache.write(timings, new_timings)
    return plan


def build(
    trt: Any, graph: bytes, rows: int, d: int, n_features: int, timings: bytes
) -> tuple[bytes, bytes]:
    """Build a plan and return it with the new timings; minutes without `timings`, else seconds."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # The graph decides the precision: fp16 where it casts to fp16.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"TensorRT can't read the graph: {errors[:500]}")
    config = builder.create_builder_config()
    timing_cache = config.create_timing_cache(timings)
    config.set_timing_cache(timing_cache, ignore_mismatch=False)
    for shape in SHAPES:
        profile = builder.create_optimization_profile()
        for name, size in input_shapes(shape, rows, d, n_features).items():
            profile.set_shape(name, size, size, size)
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT refuses the profile of {shape}")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError("TensorRT can't build the graph; its log says why")
    return bytes(plan), bytes(config.get_timing_cache().serialize())

"""From the ONNX graph to a TensorRT plan: strongly typed, one fixed profile per shape."""

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
    """Plans and timings below a directory, which need not exist yet.

    Plans are code: the directory must be writable only by who runs the worker.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """The stored bytes, or None if there are none or they aren't what was stored."""
        try:
            stored = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, data = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        return data if hashlib.sha256(data).digest() == digest else None

    def write(self, name: str, data: bytes) -> None:
        """Store; a reader sees the old file or the new one, whole."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._folder / f".{name}.{os.getpid()}.partial"
        write_durably(partial, hashlib.sha256(data).digest() + data)
        partial.replace(self._folder / name)
        sync_directory(self._folder)


def plan_name(graph: bytes, rows: int, gpu: Gpu) -> str:
    """File name of the plan of a graph with an item table of `rows` rows on a GPU."""
    key = (hashlib.sha256(graph).hexdigest(), rows, SHAPES, *astuple(gpu))
    return f"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.plan"


def timings_name(gpu: Gpu) -> str:
    """File name of TensorRT's timings, which every build on this GPU adds to."""
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
    """The plan of a graph for an item table (rows, d), from the cache or built into it.

    Raises
    ------
    EngineError
        TensorRT can't parse or build the graph: what it says.
    """
    name = plan_name(graph, rows, gpu)
    plan = cache.read(name)
    if plan is None:
        timings = timings_name(gpu)
        plan, learnt = build(trt, graph, rows, d, n_features, cache.read(timings) or b"")
        cache.write(name, plan)
        cache.write(timings, learnt)
    return plan


def build(
    trt: Any, graph: bytes, rows: int, d: int, n_features: int, timings: bytes
) -> tuple[bytes, bytes]:
    """A plan and the timings after it; minutes without `timings`, seconds with them."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # Precision is what the graph says: fp16 where it casts to fp16.
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

"""TensorRT's plans on disk: built once per model, TensorRT and GPU, and never trusted unchecked.

A plan is native code for one device and one version of TensorRT, so all of that is in its name.
Its first 32 bytes are the sha256 of the rest: a file that was cut short or changed is built anew.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple
from pathlib import Path

from models.engines.gpu_probe import Gpu
from models.engines.gpu_shapes import SHAPES
from models.storage.artefact import sync_directory, write_durably

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

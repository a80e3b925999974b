"""Choose the engine that runs a model version: TensorRT where it works, else ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.engines import golden
from models.engines.engine import Engine
from models.engines.gpu_probe import Gpu, probe
from models.engines.onnx import OnnxEngine
from models.features.features import NAMES
from models.features.model_inputs import BUCKETS, ModelInputs
from schemas.errors import ArtefactError, EngineError

ROWS = (1, 16, 256)
"""Batch sizes that `warm` scores."""


def warm(engine: Engine) -> None:
    """Score empty decisions of every bucket's length, in small and large batches.

    Raises
    ------
    EngineError
        The runtime fails on a batch.
    """
    for length in BUCKETS:
        for rows in ROWS:
            engine.score(_inputs(rows, length))


def _inputs(rows: int, length: int) -> ModelInputs:
    tokens = np.zeros((rows, BUCKETS[-1]), np.int64)
    return ModelInputs(
        item_rows=tokens,
        kinds=tokens,
        gaps=tokens,
        hours=tokens,
        amounts=tokens.astype(np.float32),
        features=np.zeros((rows, len(NAMES)), np.float32),
        lengths=np.full(rows, length, np.int64),
    )


Choice = Literal["auto", "onnx", "tensorrt"]
EngineFactory = Callable[
    [Mapping[str, bytes], npt.NDArray[np.float32], npt.NDArray[np.float32]], Engine
]
"""Opens an engine from the artefact's files, the item table and the item bias."""


def open_onnx(
    files: Mapping[str, bytes],
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
) -> OnnxEngine:
    """Open ONNX Runtime on the CPU."""
    return OnnxEngine(files["model.onnx"], item_table, item_bias)


def opener(
    choice: Choice,
    plans: Path,
    tell: Callable[[str], None],
    *,
    look: Callable[[], Gpu] = probe,
) -> EngineFactory:
    """Return the factory for `choice`; `auto` and `tensorrt` both fall back to ONNX Runtime.

    Parameters
    ----------
    plans
        Directory of the plan cache.
    tell
        Called once with each new reason why TensorRT was wanted and isn't used.
    look
        Finds the GPU; raises EngineError with the reason where there is none.
    """
    if choice == "onnx":
        return open_onnx
    reasons: set[str] = set()

    def open_engine(
        files: Mapping[str, bytes],
        item_table: npt.NDArray[np.float32],
        item_bias: npt.NDArray[np.float32],
    ) -> Engine:
        try:
            return _open_tensorrt(files, item_table, item_bias, look(), plans)
        except (EngineError, ArtefactError) as error:
            reason = str(error)
        if reason not in reasons:
            reasons.add(reason)
            tell(reason)
        return open_onnx(files, item_table, item_bias)

    return open_engine


def _open_tensorrt(
    files: Mapping[str, bytes],
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
    gpu: Gpu,
    plans: Path,
) -> Engine:
    from models.engines.tensorrt import TensorRTEngine

    stored = files["golden.npz"]
    inputs, _ = golden.from_bytes(stored)
    engine = TensorRTEngine(
        files["model.fp16.onnx"],
        item_table,
        item_bias,
        n_features=inputs.features.shape[1],
        gpu=gpu,
        plans=plans,
    )
    golden.check_golden(stored, engine, {}, "on TensorRT")
    return engine

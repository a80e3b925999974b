"""Golden inputs and outputs, which an engine must reproduce before it may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.engine import FP32, Engine, Scores
from models.features.model_inputs import ModelInputs
from models.heads.stack import Stack
from models.storage import artefact
from models.storage.arrays import from_npz
from schemas.errors import ArtefactError


def to_bytes(inputs: ModelInputs, outputs: Scores, heads: Mapping[str, Stack]) -> bytes:
    """Pack the inputs, the engine's outputs and the shipped heads' logits into one .npz."""
    arrays = {f"in_{f.name}": getattr(inputs, f.name) for f in fields(inputs)}
    arrays |= {f"out_{f.name}": getattr(outputs, f.name) for f in fields(outputs)}
    for name, head in heads.items():
        arrays[f"head_{name}"] = head.logit(outputs.logit(name), inputs.features)
    return artefact.to_npz_bytes(arrays)


def from_bytes(stored: bytes) -> tuple[ModelInputs, Scores]:
    """Unpack the inputs and outputs that `to_bytes` packed."""
    arrays = _arrays(stored)
    return _inputs(arrays), _outputs(arrays)


def difference(first: Scores, second: Scores, moved_share: float = FP32.moved) -> float:
    """Largest difference in any logit; inf if more than `moved_share` of the candidates differ."""
    if first.scores.shape != second.scores.shape:
        return float("inf")
    gaps = [
        np.abs(getattr(first, name) - getattr(second, name)).max(initial=0.0)
        for name in ("scores", "queries", "churn_logit", "risk_logit")
    ]
    moved = np.count_nonzero(first.candidates != second.candidates)
    if moved > moved_share * first.candidates.size:
        return float("inf")
    return float(np.max(gaps))  # NaN if any of them is NaN


def check_golden(stored: bytes, engine: Engine, heads: Mapping[str, Stack], version: str) -> None:
    """Run the golden inputs and compare the results with the golden outputs.

    Raises
    ------
    ArtefactError
        The results differ by more than the engine's tolerance, or there are no golden inputs.
    EngineError
        The runtime fails.
    """
    arrays = _arrays(stored)
    inputs, wanted = _inputs(arrays), _outputs(arrays)
    if not len(inputs):
        raise ArtefactError(f"model {version} has no golden inputs to check it with")
    found = engine.score(inputs)
    gap = difference(wanted, found, engine.tolerance.moved)
    for name, head in heads.items():
        logits = head.logit(found.logit(name), inputs.features)
        gap = float(np.maximum(gap, np.abs(logits - arrays[f"head_{name}"]).max()))
    if not gap <= engine.tolerance.logit:
        raise ArtefactError(
            f"model {version} disagrees with its golden outputs by {gap:.2g} on this machine, "
            f"at most {engine.tolerance.logit:g} is allowed: refused"
        )


def _arrays(stored: bytes) -> dict[str, npt.NDArray[Any]]:
    return from_npz(stored, "golden.npz")


def _inputs(arrays: dict[str, npt.NDArray[Any]]) -> ModelInputs:
    return ModelInputs(**{n[3:]: a for n, a in arrays.items() if n.startswith("in_")})


def _outputs(arrays: dict[str, npt.NDArray[Any]]) -> Scores:
    return Scores(**{n[4:]: a for n, a in arrays.items() if n.startswith("out_")})

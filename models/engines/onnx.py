"""The CPU engine: ONNX Runtime on one thread, with short histories in short arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.best_items import BestItems
from models.engines.engine import FP32, MAX_CANDIDATES, Logits, Scores, each_alone
from models.features.model_inputs import ModelInputs
from models.heads.stack import HEADS
from schemas.errors import EngineError

# Unless this is set before the import, ONNX Runtime reports its usage over the network.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

TOKENS = 512
"""Events per run: a layer's results then stay in the processor's cache, which halves the time of
long histories (docs/lab-notes.md)."""
LENGTHS = np.array([8, 16, 32, 48, 64])
"""Lengths that histories are padded to; a history's own length alone decides."""
OUTPUTS = ("candidates", "scores", "queries", "churn_logit", "risk_logit")
_LOGITS = [f"{head}_logit" for head in HEADS]
_ENCODED = ["queries", *_LOGITS]
QUESTIONS = "questions"
"""Size of the features' first axis in a graph that answers several rows of them per history."""


class OnnxEngine:
    """Runs an exported network (`models/network/export.py`) on ONNX Runtime. Not thread-safe.

    The graph gets an empty table of candidates: `BestItems` selects them outside the graph for
    all rows at once, which reads the item table once.

    Parameters
    ----------
    onnx_model
        The serialised graph.
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,): inputs, not weights, so that a catalogue can grow without
        another graph. Row 0 is the unknown item and is never a candidate.

    Raises
    ------
    EngineError
        ONNX Runtime refuses the graph.
    """

    backend = "onnx"
    tolerance = FP32

    def __init__(
        self,
        onnx_model: bytes,
        item_table: npt.NDArray[np.float32],
        item_bias: npt.NDArray[np.float32],
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                onnx_model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime refuses the model: {_line(error)}") from error
        shapes = {one.name: one.shape for one in self._session.get_inputs()}
        self._reads_once = shapes.get("features", [None])[0] == QUESTIONS
        self._d = item_table.shape[1]
        catalogue = {
            "item_table": np.ascontiguousarray(item_table),
            "candidate_table": np.zeros((MAX_CANDIDATES, self._d), np.float32),
            "candidate_bias": np.zeros(MAX_CANDIDATES, np.float32),
        }
        self._catalogue = {
            name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in catalogue.items()
        }
        self._run = ort.RunOptions()
        self._run.only_execute_path_to_fetches = True  # no candidates: `BestItems` finds them
        self._best = BestItems(item_table, item_bias, MAX_CANDIDATES)

    def score(self, inputs: ModelInputs) -> Scores:
        """Score every row, a few at a time.

        Raises
        ------
        EngineError
            ONNX Runtime fails; there are no partial results.
        """
        queries = np.zeros((len(inputs), self._d), np.float32)
        churn, risk = np.zeros((2, len(inputs)), np.float32)
        for rows, length in _chunks(inputs.lengths):
            answers = self._encode(_ENCODED, inputs, rows, length, inputs.features[rows])
            queries[rows], churn[rows], risk[rows] = answers
        return Scores(*self._best.of(queries), queries, churn, risk)

    def what_if(self, inputs: ModelInputs, features: npt.NDArray[np.float32]) -> Logits:
        """The logits with other features, see `Engine.what_if`; a history is read once.

        Raises
        ------
        EngineError
            ONNX Runtime fails; there are no partial results.
        """
        b, q, f = features.shape
        if q > 1 and not self._reads_once:
            return each_alone(self, inputs, features)
        found = {head: np.zeros((b, q), np.float32) for head in HEADS}
        for rows, length in _chunks(inputs.lengths):
            asked = features[rows].reshape(-1, f)
            answers = self._encode(_LOGITS, inputs, rows, length, asked)
            for head, answer in zip(HEADS, answers, strict=True):
                found[head][rows] = answer.reshape(-1, q)
        return found

    def _encode(
        self,
        outputs: Sequence[str],
        inputs: ModelInputs,
        rows: npt.NDArray[np.int64],
        length: int,
        features: npt.NDArray[np.float32],
    ) -> list[npt.NDArray[np.float32]]:
        feeds: dict[str, Any] = {
            "item_rows": inputs.item_rows[rows, :length],
            "kinds": inputs.kinds[rows, :length],
            "gaps": inputs.gaps[rows, :length],
            "hours": inputs.hours[rows, :length],
            "amounts": inputs.amounts[rows, :length],
            "features": features,
            "lengths": inputs.lengths[rows],
        }
        # `run` takes arrays as they are; an OrtValue of each costs as much as some of the graph.
        arrays = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        try:
            answers: list[npt.NDArray[np.float32]] = self._session.run(
                outputs, arrays | self._catalogue, self._run
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on {len(rows)} rows: {_line(error)}") from error
        return answers


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"


def _chunks(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Yield row indices of about `TOKENS` events and the length that they are padded to."""
    if len(lengths) and int(lengths.max()) > LENGTHS[-1]:
        raise EngineError(f"a history of {int(lengths.max())} events; at most {LENGTHS[-1]} fit")
    padded = LENGTHS[np.searchsorted(LENGTHS, lengths)]
    for length in LENGTHS.tolist():
        rows = np.flatnonzero(padded == length)
        step = TOKENS // length
        for start in range(0, len(rows), step):
            yield rows[start : start + step], length

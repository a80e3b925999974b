"""The CPU engine: ONNX Runtime on one thread, short histories in short arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.engine import Scores
from models.sequences import BUCKETS, ModelInputs
from schemas.errors import EngineError

# Unless it is told before it loads, it sends usage events to its maker over the network.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

MAX_BATCH = 256
OUTPUTS = ("candidates", "scores", "queries", "churn_logit", "risk_logit")


class OnnxEngine:
    """Runs an exported network (`models/export.py`) on ONNX Runtime.

    Parameters
    ----------
    onnx_model
        The serialised graph.
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,): inputs of the graph, so that a catalogue can grow
        without another graph. Row 0 is the unknown item and is never a candidate.
    """

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
            raise EngineError(f"ONNX Runtime refuses the model: {error}") from error
        self._items = len(item_table) - 1
        self._catalogue = {
            "item_table": ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(item_table)),
            "item_bias": ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(item_bias)),
        }

    def score(self, inputs: ModelInputs) -> Scores:
        """Answer every row, bucket by bucket.

        Raises
        ------
        EngineError
            When ONNX Runtime fails; nothing is half answered.
        """
        order: list[npt.NDArray[np.int64]] = []
        parts: list[list[npt.NDArray[np.float32]]] = []
        for rows, length in _chunks(inputs.lengths):
            order.append(rows)
            parts.append(self._run(inputs, rows, length))
        if not parts:
            return _nothing(inputs)
        back = np.argsort(np.concatenate(order), kind="stable")
        joined = {
            name: np.concatenate([part[i] for part in parts])[back]
            for i, name in enumerate(OUTPUTS)
        }
        for name in ("candidates", "scores"):
            joined[name] = joined[name][:, : self._items]  # with no items the graph names row 0
        return Scores(**joined)

    def _run(
        self, inputs: ModelInputs, rows: npt.NDArray[np.int64], length: int
    ) -> list[npt.NDArray[np.float32]]:
        feeds = {
            "item_rows": inputs.item_rows[rows, :length],
            "kinds": inputs.kinds[rows, :length],
            "gaps": inputs.gaps[rows, :length],
            "hours": inputs.hours[rows, :length],
            "amounts": inputs.amounts[rows, :length],
            "features": inputs.features[rows],
            "lengths": inputs.lengths[rows],
        }
        values = {
            name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            for name, array in feeds.items()
        }
        try:
            answers = self._session.run_with_ort_values(list(OUTPUTS), values | self._catalogue)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on {len(rows)} rows: {error}") from error
        return [answer.numpy() for answer in answers]


def _chunks(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Row indices by length bucket, at most `MAX_BATCH` at a time, with the bucket's length."""
    buckets = np.searchsorted(BUCKETS, lengths)
    if len(lengths) and int(buckets.max()) >= len(BUCKETS):
        raise EngineError(f"a history of {int(lengths.max())} events; at most {BUCKETS[-1]} fit")
    for bucket, length in enumerate(BUCKETS):
        rows = np.flatnonzero(buckets == bucket)
        for start in range(0, len(rows), MAX_BATCH):
            yield rows[start : start + MAX_BATCH], length


def _nothing(inputs: ModelInputs) -> Scores:
    floats = np.zeros(0, dtype=np.float32)
    return Scores(
        candidates=np.zeros((0, 0), dtype=np.int64),
        scores=np.zeros((0, 0), dtype=np.float32),
        queries=np.zeros((0, 0), dtype=np.float32),
        churn_logit=floats,
        risk_logit=floats,
    )

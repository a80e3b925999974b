"""What every engine answers, whichever runtime stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import ModelInputs
from schemas.column_rows import Columns

MAX_CANDIDATES = 64
"""K: the length of the lists, where there are so many items."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an engine's arithmetic may be from the golden outputs.

    Attributes
    ----------
    logit
        Largest difference in any logit.
    moved
        Share of the candidates, 0-1, that near-ties may order otherwise.
    """

    logit: float
    moved: float


FP32 = Tolerance(logit=1e-3, moved=0.02)
"""fp32 on another CPU stays two orders below."""


@dataclass(frozen=True, slots=True)
class Scores(Columns):
    """What the network says about B decision points.

    Attributes
    ----------
    candidates
        int64 (B, K): model rows, best first. Never row 0, the unknown item.
    scores
        float32 (B, K): their logits.
    queries
        float32 (B, d): `queries[b] @ item_table[row] + item_bias[row]` is any item's logit.
    churn_logit, risk_logit
        float32 (B,), before calibration.
    """

    candidates: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    churn_logit: npt.NDArray[np.float32]
    risk_logit: npt.NDArray[np.float32]

    def logit(self, head: str) -> npt.NDArray[np.float32]:
        """The network's logit (B,) of "churn" or "risk"."""
        return self.churn_logit if head == "churn" else self.risk_logit


class Engine(Protocol):
    """Runs one model version.

    Attributes
    ----------
    backend
        Its name in metrics and logs.
    tolerance
        What its arithmetic explains.
    """

    backend: str
    tolerance: Tolerance

    def score(self, inputs: ModelInputs) -> Scores:
        """Answer every row of `inputs`; rows don't influence one another."""
        ...

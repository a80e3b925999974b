"""The engine protocol: what every engine returns, whatever runtime is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import ModelInputs
from schemas.column_rows import Columns

MAX_CANDIDATES = 64
"""K: length of a candidate list, where the catalogue has that many items."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an engine's results may be from the golden outputs.

    Attributes
    ----------
    logit
        Largest difference in any logit.
    moved
        Largest share of candidates, 0-1, that may differ in their place because of near-ties.
    """

    logit: float
    moved: float


FP32 = Tolerance(logit=1e-3, moved=0.02)
"""Two orders of magnitude above what fp32 differs by between CPUs."""


@dataclass(frozen=True, slots=True)
class Scores(Columns):
    """The network's outputs for B decision points.

    Attributes
    ----------
    candidates
        int64 (B, K): model rows, best first. Never row 0, the unknown item.
    scores
        float32 (B, K): logits of the candidates.
    queries
        float32 (B, d): an item's logit is `queries[b] @ item_table[row] + item_bias[row]`.
    churn_logit, risk_logit
        float32 (B,), before calibration.
    """

    candidates: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    churn_logit: npt.NDArray[np.float32]
    risk_logit: npt.NDArray[np.float32]

    def logit(self, head: str) -> npt.NDArray[np.float32]:
        """Return the network's logit (B,) of the head "churn" or "risk"."""
        return self.churn_logit if head == "churn" else self.risk_logit


Logits = dict[str, npt.NDArray[np.float32]]
"""The network's logits by head."""


class Engine(Protocol):
    """Runs one model version.

    Attributes
    ----------
    backend
        Name of the runtime in metrics and logs.
    tolerance
        Difference from the golden outputs that the runtime's arithmetic explains.
    """

    backend: str
    tolerance: Tolerance

    def score(self, inputs: ModelInputs) -> Scores:
        """Score every row of `inputs`; rows don't influence one another.

        Raises
        ------
        EngineError
            The runtime fails.
        """
        ...

    def what_if(self, inputs: ModelInputs, features: npt.NDArray[np.float32]) -> Logits:
        """The network's logits if other features than `inputs.features` were known.

        Parameters
        ----------
        inputs
            B rows.
        features
            float32 (B, Q, F): Q rows of features for each row of inputs.

        Returns
        -------
        float32 (B, Q) by head.

        Raises
        ------
        EngineError
            The runtime fails.
        """
        ...


def each_alone(engine: Engine, inputs: ModelInputs, features: npt.NDArray[np.float32]) -> Logits:
    """`Engine.what_if` by an engine that answers Q = 1 only: it reads a history for every row."""
    b, q, f = features.shape
    rows = inputs.take(np.repeat(np.arange(b), q))
    found = engine.what_if(rows, features.reshape(-1, 1, f))
    return {head: logits.reshape(b, q) for head, logits in found.items()}

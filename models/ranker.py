"""Orders the candidates of one decision: a conditional logit over a few dozen features.

The weights say what each feature adds to the log-odds of being the next item among the
candidates shown together; a candidate list of any length can be scored, and the order is all
that matters. Features and their order are `models.candidates.CANDIDATE_FEATURES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from schemas.errors import ArtefactError


@dataclass(frozen=True, slots=True)
class Ranker:
    """Weights by feature name, in the order of the feature array's last axis."""

    names: tuple[str, ...]
    weights: npt.NDArray[np.float32]  # (R,)

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log-odds (D, C) of features (D, C, R); higher is better."""
        scores: npt.NDArray[np.float32] = features @ self.weights
        return scores

    def to_json(self) -> dict[str, Any]:
        return {name: float(weight) for name, weight in zip(self.names, self.weights, strict=True)}

    @classmethod
    def from_json(cls, stored: dict[str, float]) -> Self:
        """Weights as stored; `ArtefactError` unless each is a finite number."""
        weights = np.asarray(list(stored.values()), dtype=np.float32)
        if not stored or not np.isfinite(weights).all():
            raise ArtefactError("ranker: no weights, or one of them isn't finite")
        return cls(names=tuple(stored), weights=weights)

"""Orders the candidates of a decision: a conditional logit over a few dozen features.

A weight is what its feature adds to the log-odds of being the next item among the candidates of
the decision. Lists of any length can be scored; only the order matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models import sums
from models.ranking.candidates import CANDIDATE_FEATURES
from schemas.errors import ArtefactError


@dataclass(frozen=True, slots=True)
class Ranker:
    """Weights float32 (R,), in the order of `CANDIDATE_FEATURES`."""

    weights: npt.NDArray[np.float32]

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log-odds (D, C) of features (D, C, R); higher is better."""
        return sums.weighted(features, self.weights)

    def to_json(self) -> dict[str, float]:
        """Return the weights by feature name."""
        return dict(zip(CANDIDATE_FEATURES, self.weights.tolist(), strict=True))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read weights by feature name.

        Raises
        ------
        ArtefactError
            The features aren't those of this code, or a weight isn't finite.
        """
        if not isinstance(stored, dict):
            raise ArtefactError("ranker: not an object of weights by feature")
        if set(stored) != set(CANDIDATE_FEATURES):
            other = sorted(set(stored) ^ set(CANDIDATE_FEATURES))
            raise ArtefactError(f"ranker: made for other candidate features ({', '.join(other)})")
        weights = np.array([stored[name] for name in CANDIDATE_FEATURES], dtype=np.float32)
        if not np.isfinite(weights).all():
            raise ArtefactError("ranker: a weight isn't finite")
        return cls(weights)

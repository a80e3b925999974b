"""A head of a model version: the logits of the network and the trees, weighted and calibrated.

Either part may be missing: training ships only parts that improve validation
(`models/training/fit_stacks.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from models.heads import calibration
from models.heads.calibration import Calibration
from models.heads.trees import Trees
from schemas.errors import ArtefactError

Part = Literal["network", "trees", "stack"]
HEADS = ("churn", "risk")
Weights = tuple[float, float, float]
"""Weight of the network's logit, weight of the trees' logit, intercept."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mix:
    """From two logits to a probability: a weighted sum, then a calibration curve.

    Attributes
    ----------
    network, trees
        Weights, not negative and not both 0; a part of weight 0 isn't run.
    intercept
        Added to the weighted sum.
    curve
        From the sum to a probability.
    """

    network: float
    trees: float
    intercept: float
    curve: Calibration

    def __post_init__(self) -> None:
        weights = np.array([self.network, self.trees, self.intercept])
        if not np.isfinite(weights).all() or (weights[:2] < 0).any() or not weights[:2].any():
            raise ArtefactError(
                f"heads: weights {weights.tolist()} aren't finite, are negative, or are all 0"
            )

    @property
    def shipped(self) -> Part:
        """The parts that answer."""
        if self.network and self.trees:
            return "stack"
        return "trees" if self.trees else "network"

    def logit(self, network: Floats, trees: Floats) -> Floats:
        """Log-odds (B,) before calibration, from the logits (B,) of both parts."""
        logit: Floats = self.network * network + self.trees * trees + self.intercept
        return logit

    def probability(self, network: Floats, trees: Floats) -> Floats:
        """Calibrated probabilities (B,), from the logits (B,) of both parts."""
        return self.curve.probability(self.logit(network, trees))


@dataclass(frozen=True, slots=True)
class Stack:
    """A head: the mix, and the trees, which are None exactly where their weight is 0."""

    mix: Mix
    booster: Trees | None

    def __post_init__(self) -> None:
        if (self.mix.trees > 0) != (self.booster is not None):
            raise ArtefactError("heads: the trees are missing, or there although their weight is 0")

    def logit(self, network: npt.NDArray[np.float32], features: npt.NDArray[np.float32]) -> Floats:
        """Log-odds (B,) before calibration.

        Parameters
        ----------
        network
            float32 (B,): the engine's logit.
        features
            float32 (B, F): `ModelInputs.features`.
        """
        trees = np.zeros(len(network)) if self.booster is None else self.booster.logit(features)
        return self.mix.logit(network.astype(np.float64), trees)

    def probability(
        self, network: npt.NDArray[np.float32], features: npt.NDArray[np.float32]
    ) -> Floats:
        """Calibrated probabilities (B,); arguments are those of `logit`."""
        return self.mix.curve.probability(self.logit(network, features))

    def to_json(self) -> dict[str, Any]:
        """Everything but the trees, which have a file of their own."""
        return asdict(self.mix)

    @classmethod
    def from_json(cls, stored: dict[str, Any], trees: str) -> Self:
        """Read a stored head; the text `trees` is parsed only where the trees have a weight.

        Raises
        ------
        ArtefactError
            The mix, the curve or the trees are invalid.
        """
        try:
            mix = Mix(
                float(stored["network"]),
                float(stored["trees"]),
                float(stored["intercept"]),
                Calibration.from_json(stored["curve"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"heads: {error!r:.200}") from error
        return cls(mix, Trees(trees) if mix.trees > 0 else None)


def weigh(network: Floats, trees: Floats, labels: npt.NDArray[np.bool_]) -> Weights:
    """Weights (network, trees, intercept) of both logits (n,), by logistic regression.

    A part with a weight that isn't above 0 gets 0, and the other part is fitted alone.
    """
    ones = np.ones(len(labels))
    both = calibration.logistic(np.stack([network, trees, ones], axis=1), labels)
    if (both[:2] > 0).all():
        return float(both[0]), float(both[1]), float(both[2])
    alone = network if both[0] > 0 else trees
    slope, intercept = calibration.logistic(np.stack([alone, ones], axis=1), labels).tolist()
    slope = max(slope, 1e-3)
    return (slope, 0.0, intercept) if both[0] > 0 else (0.0, slope, intercept)

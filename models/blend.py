"""Network and neighbours in one score: log p + w log(neighbours + epsilon).

A product of experts: an item must make sense to both. Mixing the probabilities instead is worse
(docs/lab-notes.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Measure = Callable[[Floats], npt.NDArray[np.float64]]
"""Scores (U, N + 1) -> how good each user's list is (U,)."""

WEIGHTS = (0.0, 0.3, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
EPSILONS = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


@dataclass(frozen=True, slots=True)
class Blend:
    """How much the neighbours count, and how little an item that they don't know."""

    weight: float
    epsilon: float

    def scores(self, network: Floats, neighbours: Floats) -> Floats:
        """Blended scores of log-probabilities and neighbour scores, (U, N + 1) each."""
        blended: Floats = network + np.float32(self.weight) * np.log(
            neighbours + np.float32(self.epsilon)
        )
        return blended


class Choice:
    """Finds the best of all blends on users seen part by part."""

    def __init__(self) -> None:
        self._totals = np.zeros((len(EPSILONS), len(WEIGHTS)))

    def see(self, network: Floats, neighbours: Floats, measure: Measure) -> None:
        """Measure every blend on some users."""
        for i, epsilon in enumerate(EPSILONS):
            logged = np.log(neighbours + np.float32(epsilon))
            for j, weight in enumerate(WEIGHTS):
                self._totals[i, j] += measure(network + np.float32(weight) * logged).sum()

    def best(self) -> Blend:
        """The blend with the highest measure in all."""
        i, j = np.unravel_index(int(self._totals.argmax()), self._totals.shape)
        return Blend(WEIGHTS[j], EPSILONS[i])

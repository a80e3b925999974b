"""Why an alert: finds the features that raised an answer, by resetting each to its usual value.

Occlusion: the features that differ most from the training median are set to the median one at a
time; the decrease of the head's log-odds is the feature's contribution. (Log-odds, because near 0
and 1 a calibrated probability hardly moves.) The shipped head itself, network and trees, computes
the log-odds, so any head can be explained. The order of events isn't part of the explanation.

All alerts of a batch are explained together: the model reads each history once and is asked
`TRIED` + 1 rows of features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import ModelInputs, scale
from models.features.table import FEATURES, NEVER_S, Unit
from schemas.outputs import ReasonCode

TRIED = 32
"""Number of features tried, the most unusual first."""
POINTS = 128
"""Decision points explained per call, so that an alert storm can't exhaust the memory."""
LEAST = 0.01
"""Contribution in log-odds that a reason must exceed."""

_SPANS = ((86_400, "days"), (3_600, "h"), (60, "min"))

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
WhatIf = Callable[[ModelInputs, npt.NDArray[np.float32], Ints], Floats]
"""Log-odds (B, Q) of B rows of model inputs, each with Q other rows of features (B, Q, F); the last
argument (B,) is each row's head number."""


class Explainer:
    """Explains the heads of one model version.

    Parameters
    ----------
    usual
        float64 (F,): the training median of every feature, in the feature set's order.
    what_if
        Calls the model.
    """

    def __init__(self, usual: Floats, what_if: WhatIf) -> None:
        self._usual = usual
        self._usual_scaled = scale(usual[None])[0]  # (F,)
        self._what_if = what_if

    def explain(
        self,
        inputs: ModelInputs,
        heads: Ints,
        values: Floats,
        top: int = 3,
    ) -> list[list[ReasonCode]]:
        """The features that raise the log-odds most, by decision point.

        Parameters
        ----------
        inputs
            Model inputs of the n decision points.
        heads
            intp (n,): number of the head to explain at each decision point.
        values
            float64 (n, F): the raw feature values at each decision point.
        top
            Most reasons per decision point.

        Returns
        -------
        list
            n lists of at most `top` reasons, the largest contribution first.

        Raises
        ------
        EngineError
            The model can't answer.
        """
        strayed = np.abs(inputs.features - self._usual_scaled)  # (n, F)
        columns = np.argsort(-strayed, axis=1, kind="stable")[:, :TRIED]
        reasons: list[list[ReasonCode]] = []
        for begin in range(0, len(values), POINTS):
            part = np.arange(begin, min(begin + POINTS, len(values)))
            lost = self._lost(inputs.take(part), heads[part], columns[part])
            for i, contributions in zip(part.tolist(), lost, strict=True):
                best = np.argsort(-contributions, kind="stable")[:top]
                reasons.append(
                    [
                        self._reason(int(columns[i, j]), values[i], float(contributions[j]))
                        for j in best
                        if contributions[j] > LEAST and math.isfinite(values[i][columns[i, j]])
                    ]
                )
        return reasons

    def _lost(self, inputs: ModelInputs, heads: Ints, columns: Ints) -> Floats:
        """The contributions (n, TRIED) of the features tried, by decision point."""
        n, tried = columns.shape
        features = np.repeat(inputs.features[:, None], tried + 1, axis=1)
        features[np.arange(n)[:, None], np.arange(tried), columns] = self._usual_scaled[columns]
        logits = self._what_if(inputs, features, heads)  # the last is without a change
        return logits[:, -1:] - logits[:, :-1]

    def _reason(self, column: int, values: Floats, contribution: float) -> ReasonCode:
        feature, value, usual = FEATURES[column], float(values[column]), float(self._usual[column])
        return ReasonCode(
            code=feature.name,
            text=f"{feature.meaning}: {in_words(value, feature.unit)}, "
            f"usually {in_words(usual, feature.unit)}",
            value=round(value, 6),
            baseline=round(usual, 6),
            contribution=round(contribution, 6),
        )


def in_words(value: float, unit: Unit) -> str:
    """A feature's value in words.

    Examples
    --------
    >>> in_words(939_716.0, "s"), in_words(315_359_970.6, "s")
    ('10.9 days', 'never')
    >>> in_words(12_345.0, "money"), in_words(0.25, "ratio")
    ('12345', '0.25')
    """
    if unit == "s":
        if value > 0.99 * NEVER_S:
            return "never"
        for length, name in _SPANS:
            if value >= 2 * length:
                return f"{value / length:.3g} {name}"
        return f"{value:.3g} s"
    if unit == "flag":
        return "yes" if value else "no"
    number = f"{value:.0f}" if value >= 1_000 else f"{value:.4g}"
    return f"{number} days" if unit == "day" else number

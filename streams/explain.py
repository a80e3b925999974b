"""Why this user: which features moved an answer, by putting each back to its usual value.

Occlusion: the features that stray most from the training median are set to it one at a time;
what the head's log-odds lose is that feature's contribution. (Log-odds, because near 0 and 1 a
calibrated probability no longer moves.) It asks the shipped head itself, network and trees, so it
explains whatever answers; the order of events is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models.feature_table import FEATURES, NEVER_S, Unit
from models.sequences import ModelInputs, scale
from schemas.outputs import ReasonCode

ASKED = 32
"""Features put to the test, the most unusual ones: an alert costs one small batch."""
LEAST = 0.01
"""Log-odds below which a feature is no reason."""

_SPANS = ((86_400, "days"), (3_600, "h"), (60, "min"))

Logits = Callable[[ModelInputs], npt.NDArray[Any]]


class Explainer:
    """Explains one head of one model version.

    Parameters
    ----------
    usual
        float64 (F,): the training median of every feature, in the feature set's order.
    logits
        Log-odds (B,) of model inputs.
    """

    def __init__(self, usual: npt.NDArray[np.float64], logits: Logits) -> None:
        self._usual = usual
        frame = pl.DataFrame({f.name: np.array([v]) for f, v in zip(FEATURES, usual, strict=True)})
        self._usual_scaled = scale(frame)[0]  # (F,)
        self._logits = logits

    def explain(
        self, inputs: ModelInputs, values: tuple[float, ...], top: int = 3
    ) -> list[ReasonCode]:
        """The features that raise the log-odds most.

        Parameters
        ----------
        inputs
            Of one decision point (B = 1).
        values
            Its F raw feature values.
        """
        strayed = np.abs(inputs.features[0] - self._usual_scaled)
        asked = np.argsort(-strayed, kind="stable")[:ASKED]
        asked = asked[strayed[asked] > 0]
        rows = inputs.take(np.zeros(len(asked) + 1, np.intp))
        features = rows.features.copy()
        features[np.arange(len(asked)), asked] = self._usual_scaled[asked]
        logits = self._logits(replace(rows, features=features))
        lost = float(logits[-1]) - logits[:-1]
        best = np.argsort(-lost, kind="stable")[:top]
        return [
            self._reason(int(asked[i]), values, float(lost[i])) for i in best if lost[i] > LEAST
        ]

    def _reason(self, column: int, values: tuple[float, ...], contribution: float) -> ReasonCode:
        feature, value, usual = FEATURES[column], float(values[column]), float(self._usual[column])
        return ReasonCode(
            code=feature.name,
            text=f"{feature.meaning}: {told(value, feature.unit)}, "
            f"usually {told(usual, feature.unit)}",
            value=round(value, 6),
            baseline=round(usual, 6),
            contribution=round(contribution, 6),
        )


def told(value: float, unit: Unit) -> str:
    """A feature's value for people.

    Examples
    --------
    >>> told(939_716.0, "s"), told(315_359_970.6, "s"), told(12_345.0, "money"), told(0.25, "ratio")
    ('10.9 days', 'never', '12345', '0.25')
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

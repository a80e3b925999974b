"""Why an alert: finds the features that raised an answer, by resetting each to its usual value.

Occlusion: the features that differ most from the training median are set to the median one at a
time; the decrease of the head's log-odds is the feature's contribution. (Log-odds, because near 0
and 1 a calibrated probability hardly moves.) The shipped head itself, network and trees, computes
the log-odds, so any head can be explained. The order of events isn't part of the explanation.

All alerts of a batch are explained together: a decision point becomes up to `TRIED` + 1 rows of
model inputs, and decision points share a call of the engine up to `MAX_ROWS` rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import ModelInputs, scale
from models.features.table import FEATURES, NEVER_S, Unit
from schemas.outputs import ReasonCode

TRIED = 32
"""Number of features tried, the most unusual first."""
MAX_ROWS = 4_096
"""Rows of model inputs per call, about 11 MB, so that an alert storm can't exhaust the memory."""
LEAST = 0.01
"""Contribution in log-odds that a reason must exceed."""

_SPANS = ((86_400, "days"), (3_600, "h"), (60, "min"))

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Logits = Callable[[ModelInputs, Ints], npt.NDArray[Any]]
"""Log-odds (R,) of R rows of model inputs; the second argument (R,) is each row's head number."""


class Explainer:
    """Explains the heads of one model version.

    Parameters
    ----------
    usual
        float64 (F,): the training median of every feature, in the feature set's order.
    logits
        Calls the model.
    """

    def __init__(self, usual: npt.NDArray[np.float64], logits: Logits) -> None:
        self._usual = usual
        self._usual_scaled = scale(usual[None])[0]  # (F,)
        self._logits = logits

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
        tried = (np.take_along_axis(strayed, columns, axis=1) > 0).sum(axis=1)  # (n,)
        reasons: list[list[ReasonCode]] = []
        for part in _parts(tried + 1, MAX_ROWS):
            lost = self._lost(inputs.take(part), heads[part], columns[part], tried[part])
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

    def _lost(
        self, inputs: ModelInputs, heads: Ints, columns: Ints, tried: Ints
    ) -> Iterator[npt.NDArray[Any]]:
        """The contributions of the features tried, an array (tried[i],) per decision point i.

        The rows of a decision point are adjacent: a row per feature tried, then the original row.
        """
        ends = np.cumsum(tried + 1)
        points = np.repeat(np.arange(len(tried)), tried + 1)  # (R,)
        places = np.arange(len(points)) - (ends - tried - 1)[points]  # (R,) within the point
        changed = np.flatnonzero(places < tried[points])
        rows = inputs.take(points)
        features = rows.features.copy()
        column = columns[points[changed], places[changed]]
        features[changed, column] = self._usual_scaled[column]
        logits = self._logits(replace(rows, features=features), heads[points])
        for end, n in zip(ends.tolist(), tried.tolist(), strict=True):
            yield float(logits[end - 1]) - logits[end - 1 - n : end - 1]

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


def _parts(sizes: Ints, most: int) -> Iterator[Ints]:
    """Group the indices of consecutive `sizes` into parts of about `most` in total.

    Examples
    --------
    >>> [part.tolist() for part in _parts(np.array([3, 3, 3, 1]), 5)]
    [[0, 1], [2, 3]]
    """
    begins = (np.cumsum(sizes) - sizes) // most
    for number in np.unique(begins):
        yield np.flatnonzero(begins == number)


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

"""From a logit to a probability, fitted on validation data that is later than the training data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.elementwise import exp
from schemas.errors import ArtefactError

Floats = npt.NDArray[np.float64]

MIN_POSITIVES_ISOTONIC = 200
"""With fewer positives (or negatives) an isotonic curve is mostly noise; Platt's line isn't."""
TIE_BREAK = 0.001
"""Share of the raw score in an isotonic probability: flat steps would tie and cost precision."""


def sigmoid(logits: npt.NDArray[Any]) -> Floats:
    """Logistic function of any shape, without overflow -> float64 of the same shape."""
    clipped = np.clip(logits.astype(np.float64), -60.0, 60.0)
    answer: Floats = 1.0 / (1.0 + exp(-clipped))
    return answer


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration curve of a head; stored as JSON.

    `platt`: probability = sigmoid(slope * logit + intercept). `isotonic`: linear between the
    knots (x = logits, ascending; y = probabilities, never falling), mixed with `TIE_BREAK` of
    the raw score.
    """

    method: str = "platt"
    slope: float = 1.0
    intercept: float = 0.0
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    def probability(self, logits: npt.NDArray[Any]) -> Floats:
        """Calibrated probabilities in [0, 1], float64 of the same shape, rising with the logit."""
        if self.method == "platt":
            return sigmoid(self.slope * logits + self.intercept)
        curve = np.interp(logits, np.asarray(self.x), np.asarray(self.y))
        mixed: Floats = (1.0 - TIE_BREAK) * curve + TIE_BREAK * sigmoid(logits)
        return mixed

    def to_json(self) -> dict[str, Any]:
        """The curve as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read a stored curve; `ArtefactError` unless it gives rising probabilities."""
        try:
            curve = cls(**stored)
        except TypeError as error:
            raise ArtefactError(f"calibration: {error}") from error
        if curve.method not in ("platt", "isotonic") or len(curve.x) != len(curve.y):
            raise ArtefactError(f"calibration: unknown or broken method {curve.method!r}")
        curve.check()
        return curve

    def check(self) -> None:
        """Raise ArtefactError unless the curve gives probabilities that rise with the logit."""
        try:
            knots = np.array([self.x, self.y], np.float64)
            line = np.array([self.slope, self.intercept], np.float64)
        except (TypeError, ValueError) as error:
            raise ArtefactError(f"calibration: {error}") from error
        rising = (np.diff(knots) >= 0).all() and (knots[1] >= 0).all() and (knots[1] <= 1).all()
        if not (np.isfinite(knots).all() and np.isfinite(line).all() and rising and line[0] > 0):
            raise ArtefactError("calibration: not a rising curve of probabilities")
        if self.method == "isotonic" and not self.x:
            raise ArtefactError("calibration: an isotonic curve without points")


def fit(logits: npt.NDArray[Any], labels: npt.NDArray[np.bool_]) -> Calibration:
    """Fit isotonic regression, or Platt's line with few labels; the sigmoid if a class is missing.

    Parameters
    ----------
    logits
        float (n,): on data that the network was not trained on.
    labels
        bool (n,).
    """
    positives = int(labels.sum())
    fewer = min(positives, len(labels) - positives)
    if fewer == 0:
        return Calibration()
    if fewer < MIN_POSITIVES_ISOTONIC:
        return fit_platt(logits.astype(np.float64), labels)
    return fit_isotonic(logits.astype(np.float64), labels)


def fit_platt(logits: Floats, labels: npt.NDArray[np.bool_]) -> Calibration:
    """Logistic regression on the logit by Newton's method, with Platt's smoothed targets.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    targets = np.where(labels, high, low)
    design = np.stack([logits, np.ones_like(logits)], axis=1)  # (n, 2)
    weights = logistic(design, targets)
    # A falling line would mean that a higher logit is less likely: the logit is noise.
    if weights[0] <= 0.0:
        rate = float(targets.mean())
        return Calibration(slope=1e-3, intercept=float(np.log(rate / (1 - rate))))
    return Calibration(slope=float(weights[0]), intercept=float(weights[1]))


def logistic(design: Floats, targets: npt.NDArray[Any]) -> Floats:
    """Fit the weights float64 (k,) of a logistic regression by Newton's method.

    Parameters
    ----------
    design
        float64 (n, k); the last column is ones.
    targets
        (n,): 0 to 1, not all the same.
    """
    weights = np.zeros(design.shape[1])
    weights[-1] = np.log(targets.mean()) - np.log1p(-targets.mean())
    ridge = 1e-9 * len(targets) * np.eye(len(weights))
    loss = _log_loss(design @ weights, targets)
    for _ in range(50):
        guess = sigmoid(design @ weights)
        gradient = design.T @ (guess - targets)
        hessian = (design * (guess * (1 - guess))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian, gradient)
        # A whole step may overshoot with a rare class or an uninformative column.
        while (after := _log_loss(design @ (weights - step), targets)) > loss + 1e-12:
            step = step / 2
            if np.abs(step).max() < 1e-9:
                return weights
        weights, loss = weights - step, after
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _log_loss(logits: Floats, targets: npt.NDArray[Any]) -> float:
    """Mean log loss of logits (n,), without overflow."""
    return float((np.logaddexp(0.0, logits) - targets * logits).mean())


def fit_isotonic(logits: Floats, labels: npt.NDArray[np.bool_]) -> Calibration:
    """Pool-adjacent-violators; the curve's knots are at each step's mean logit."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(logits, kind="stable")
    steps = isotonic_regression(labels[order].astype(np.float64))
    starts = np.asarray(steps.blocks[:-1])
    sizes = np.diff(steps.blocks)
    centres = np.add.reduceat(logits[order], starts) / sizes
    # Laplace's rule: a first or last step of few points would otherwise be exactly 0 or 1.
    values = (steps.x[starts] * sizes + 0.5) / (sizes + 1.0)
    return Calibration("isotonic", x=centres.tolist(), y=np.maximum.accumulate(values).tolist())

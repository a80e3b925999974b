"""Alert thresholds: from the settings, else from the model's probabilities in validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.errors import ArtefactError
from streams.alerts.book import Thresholds

CLEAR_SHARE = 3.0  # three times the budget of decisions is above `clear_at`
CRITICAL_SHARE = 0.1  # a tenth of the budget is above `critical_at`
CLEAR_RATIO = 0.8  # `clear_at` is at most this share of `raise_at`
SURE, VERY_SURE = 0.8, 0.95  # probabilities always worth an alert, and a critical alert


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How one kind of alert is raised (`streams.settings.AlertRule`).

    Attributes
    ----------
    budget
        Share of decisions, 0-1, that may be above `raise_at` if `raise_at` isn't set.
    raise_at, clear_at, critical_at
        Fixed probabilities; None: derived from the model.
    cooldown_s
        Event time for which a subject stays quiet after an incident.
    """

    budget: float
    raise_at: float | None
    clear_at: float | None
    critical_at: float | None
    cooldown_s: int

    def thresholds(self, quantiles: Mapping[str, float]) -> Thresholds:
        """Thresholds for a model whose calibrated probabilities had these quantiles.

        Parameters
        ----------
        quantiles
            Probability by quantile ("0.99": 0.81), from the model's manifest; may be empty.

        Raises
        ------
        ArtefactError
            The numbers aren't quantiles of probabilities, so thresholds would be random.

        Examples
        --------
        >>> policy = AlertPolicy(0.01, None, None, 0.9, 60)
        >>> policy.thresholds({"0.9": 0.2, "0.99": 0.5, "0.999": 0.7})
        Thresholds(raise_at=0.5, clear_at=0.4, critical_at=0.9)
        """
        raise_at = _first(self.raise_at, min(_above(quantiles, self.budget, SURE), SURE))
        critical_share = self.budget * CRITICAL_SHARE
        critical_at = _first(
            self.critical_at, min(_above(quantiles, critical_share, VERY_SURE), VERY_SURE)
        )
        clear_at = _first(self.clear_at, _above(quantiles, self.budget * CLEAR_SHARE, SURE))
        if self.clear_at is None:
            clear_at = min(clear_at, CLEAR_RATIO * raise_at)
        return Thresholds(raise_at, min(clear_at, raise_at), max(critical_at, raise_at))


def _above(quantiles: Mapping[str, float], share: float, unknown: float) -> float:
    """The probability exceeded by this share of decisions, interpolated between quantiles."""
    if not quantiles:
        return unknown
    try:
        known = sorted((float(q), float(p)) for q, p in quantiles.items())
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"manifest.json: quantiles: {error}") from None
    levels, values = np.array(known).T
    between = all(((numbers >= 0) & (numbers <= 1)).all() for numbers in (levels, values))
    if not between or (np.diff(values) < 0).any():
        raise ArtefactError(f"manifest.json: {dict(quantiles)} are no quantiles of probabilities")
    return round(float(np.interp(1.0 - share, levels, values)), 6)


def _first(fixed: float | None, derived: float) -> float:
    return derived if fixed is None else fixed

"""Alert thresholds: set ones stand, the others keep the budget the model's quantiles allow."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ArtefactError
from streams.alerts.thresholds import AlertPolicy

QUANTILES = {"0.5": 0.1, "0.9": 0.2, "0.97": 0.3, "0.99": 0.5, "0.999": 0.9}


def policy(
    budget: float = 0.01,
    raise_at: float | None = None,
    clear_at: float | None = None,
    critical_at: float | None = None,
) -> AlertPolicy:
    return AlertPolicy(budget, raise_at, clear_at, critical_at, 60)


def test_the_budget_chooses_the_quantile() -> None:
    at = policy(0.01).thresholds(QUANTILES)
    assert (at.raise_at, at.critical_at) == (0.5, 0.9)
    assert at.clear_at == pytest.approx(0.3)


def test_what_is_as_good_as_certain_is_raised_whatever_the_budget() -> None:
    at = policy(0.01).thresholds({"0.9": 0.7, "0.95": 0.97, "0.99": 0.998, "0.999": 0.9999})
    assert (at.raise_at, at.critical_at) == (0.8, 0.95)


def test_a_larger_budget_raises_earlier() -> None:
    assert policy(0.1).thresholds(QUANTILES).raise_at == pytest.approx(0.2)


def test_what_is_set_stands() -> None:
    at = policy(0.01, 0.7, 0.6, 0.8).thresholds(QUANTILES)
    assert (at.raise_at, at.clear_at, at.critical_at) == (0.7, 0.6, 0.8)


def test_without_quantiles_only_clear_cases_are_raised() -> None:
    at = policy().thresholds({})
    assert at.raise_at == 0.8


@pytest.mark.parametrize(
    "quantiles",
    [
        {"0.9": math.nan},
        {"0.9": math.inf},
        {"0.9": -0.1},
        {"0.9": 1.1},
        {"nan": 0.5},
        {"1.5": 0.5},
        {"median": 0.5},
        {"0.9": None},
        {"0.5": 0.9, "0.99": 0.1},
    ],
)
def test_what_are_no_quantiles_of_probabilities_is_refused(quantiles: Any) -> None:
    with pytest.raises(ArtefactError, match="quantiles"):
        policy().thresholds(quantiles)


shares = st.none() | st.floats(0, 1)


@given(st.floats(0.001, 0.5), shares, shares, shares, st.booleans())
def test_thresholds_are_always_in_order(
    budget: float, first: float | None, second: float | None, third: float | None, known: bool
) -> None:
    given_ = iter(sorted(one for one in (first, second, third) if one is not None))
    clear_at = None if first is None else next(given_)
    raise_at = None if second is None else next(given_)
    critical_at = None if third is None else next(given_)
    chosen = policy(budget, raise_at, clear_at, critical_at)
    at = chosen.thresholds(QUANTILES if known else {})
    assert at.clear_at <= at.raise_at <= at.critical_at

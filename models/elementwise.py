"""Exponentials and logarithms, one number after the other by the C library.

numpy has several of each and chooses by the processor, the type and how the array lies in memory:
the last bit of a number could depend on its neighbours. Here it depends on the number alone. They
take float64 of any shape and cost what numpy's cost where it has no vector code for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

Floats = npt.NDArray[np.float64]


def exp(values: npt.NDArray[Any]) -> Floats:
    """Give e to the power of each value, float64 of the same shape."""
    return _each(_exp, values)


def log(values: npt.NDArray[Any]) -> Floats:
    """The natural logarithm of each value above 0, float64 of the same shape."""
    return _each(_log, values)


def log1p(values: npt.NDArray[Any]) -> Floats:
    """The natural logarithm of 1 + each value from 0 up, float64 of the same shape.

    Examples
    --------
    >>> log1p(np.array([[0.0, 1.0]], np.float32)).round(3).tolist()
    [[0.0, 0.693]]
    """
    return _each(_log1p, values)


def _each(loop: Callable[[Floats, Floats], None], values: npt.NDArray[Any]) -> Floats:
    given = np.ascontiguousarray(values, np.float64).reshape(-1)
    out = np.empty_like(given)
    loop(given, out)
    return out.reshape(np.shape(values))


@kernel
def _exp(values: Floats, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = math.exp(values[i])


@kernel
def _log(values: Floats, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = math.log(values[i])


@kernel
def _log1p(values: Floats, out: Floats) -> None:
    for i in range(len(values)):
        # Most of a window is 0, whose logarithm is known.
        out[i] = math.log1p(values[i]) if values[i] != 0.0 else 0.0

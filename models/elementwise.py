"""Exponentials and logarithms, computed by the C library one number at a time.

numpy has several implementations of each and chooses by the processor, the dtype and the memory
layout: the last bit of a result could depend on its neighbours. Here it depends on the number
alone. The functions take any shape, return float64, and cost as much as numpy's scalar code. A
kernel that needs such a number calls `math.exp`, `log` or `log1p` itself, with the same result.
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
    """Return e to the power of each value, float64 of the same shape."""
    return _each(_exp, values)


def log(values: npt.NDArray[Any]) -> Floats:
    """Return the natural logarithm of each value above 0, float64 of the same shape."""
    return _each(_log, values)


def _each(loop: Callable[[Floats, Floats], None], values: npt.NDArray[Any]) -> Floats:
    flat = np.ascontiguousarray(values, np.float64).reshape(-1)
    out = np.empty_like(flat)
    loop(flat, out)
    return out.reshape(np.shape(values))


@kernel
def _exp(values: Floats, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = math.exp(values[i])


@kernel
def _log(values: Floats, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = math.log(values[i])

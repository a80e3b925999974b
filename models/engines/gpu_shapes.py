"""The fixed shapes that a GPU runs, and how a batch is cut into them.

A CUDA graph has one shape, so every batch is cut into pieces and each is padded to a known shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.model_inputs import BUCKETS
from schemas.errors import EngineError

BATCHES = (1, 4, 16, 64, 256, 1024)
SMALL = 64
"""Up to this batch size a run takes no longer than its launch, so padding costs nothing."""
ROWS_STEP = 4_096
"""The item table is padded to a multiple of this, so a growing catalogue keeps its plan."""


class Shape(NamedTuple):
    """A number of histories and their padded length in events."""

    batch: int
    length: int


SHAPES = tuple(Shape(batch, length) for length in BUCKETS for batch in BATCHES)


def pieces(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], Shape]]:
    """Cut a batch into row indices (at most as many as the shape holds) and the shape to pad to.

    Raises
    ------
    EngineError
        A history is longer than the longest shape.

    Examples
    --------
    >>> [(len(rows), shape) for rows, shape in pieces(np.array([5] * 300 + [60]))]
    [(256, Shape(batch=256, length=8)), (44, Shape(batch=64, length=8)), (1, Shape(batch=1, \
length=64))]
    """
    if len(lengths) and int(lengths.max()) > BUCKETS[-1]:
        raise EngineError(f"a history of {int(lengths.max())} events; at most {BUCKETS[-1]} fit")
    bucket = np.searchsorted(BUCKETS, lengths)
    for number, length in enumerate(BUCKETS):
        rows = np.flatnonzero(bucket == number)
        begin = 0
        while begin < len(rows):
            batch = _batch(len(rows) - begin)
            yield rows[begin : begin + batch], Shape(batch, length)
            begin += batch


def _batch(rows: int) -> int:
    """Batch size for the next of `rows` rows: never a large shape that is half empty."""
    place = min(int(np.searchsorted(BATCHES, rows)), len(BATCHES) - 1)
    if BATCHES[place] > SMALL and 2 * rows <= BATCHES[place]:
        place -= 1
    return BATCHES[place]


def padded_catalogue(
    item_table: npt.NDArray[np.float32], item_bias: npt.NDArray[np.float32], unknown: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Pad the table and bias to a multiple of `ROWS_STEP` rows; added rows have bias `unknown`."""
    more = -len(item_table) % ROWS_STEP
    return (
        np.pad(item_table, ((0, more), (0, 0))),
        np.pad(item_bias, (0, more), constant_values=np.float32(unknown)),
    )

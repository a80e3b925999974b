"""The fixed shapes a GPU runs, and which of them answer a batch.

A CUDA graph has one shape, so every batch is cut into pieces of known shapes and padded to them.
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
"""Up to here a shape takes as long as a launch: filling it badly costs nothing."""
ROWS_STEP = 4_096
"""The item table is padded to a multiple of this, so that a catalogue may grow for a while."""


class Shape(NamedTuple):
    """So many histories of so many events."""

    batch: int
    length: int


SHAPES = tuple(Shape(batch, length) for length in BUCKETS for batch in BATCHES)


def pieces(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], Shape]]:
    """Cut a batch: row indices (at most as many as the shape holds) and the shape to pad to.

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
    """The shape for the next piece of `rows` rows: never a large one that is half empty."""
    place = min(int(np.searchsorted(BATCHES, rows)), len(BATCHES) - 1)
    if BATCHES[place] > SMALL and 2 * rows <= BATCHES[place]:
        place -= 1
    return BATCHES[place]


def padded_catalogue(
    item_table: npt.NDArray[np.float32], item_bias: npt.NDArray[np.float32], unknown: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The table and bias with rows up to a multiple of `ROWS_STEP`, all as good as row 0."""
    more = -len(item_table) % ROWS_STEP
    return (
        np.pad(item_table, ((0, more), (0, 0))),
        np.pad(item_bias, (0, more), constant_values=np.float32(unknown)),
    )

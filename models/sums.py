"""Sums of products in a fixed order: a row's bits depend on neither its batch nor the processor.

A BLAS chooses a kernel by the shape of a product and by the processor, and each kernel adds in
another order: the same row differed by 5e-7 between a batch of 1 and a batch of 400. So a BLAS
product only narrows a choice down (`best_rows`); every number that counts is summed here. Eight
partial sums, each over every eighth number, keep the processor from waiting for one addition
before the next. These kernels have no `fastmath`, so nothing is reordered or fused.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel, vector_kernel

BLOCK = 32
"""Items per block: `best_rows` looks only into blocks whose best item may be on the list."""

_LEAST = np.float32(-np.inf)
_ROUNDED = np.float32(2.0**-22)
"""Bound on the relative difference of two sums in different orders, per number added: twice what
theory gives. Each sum is off by at most 2**-24 per number, to first order."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def weighted(features: Floats, weights: Floats) -> Floats:
    """Products of features (D, C, R) with weights (R,) -> float32 (D, C)."""
    out = np.empty(features.shape[:2], np.float32)
    _weighted(np.ascontiguousarray(features), np.ascontiguousarray(weights), out)
    return out


def item_logits(queries: Floats, rows: Ints, item_table: Floats, item_bias: Floats) -> Floats:
    """Logits of some items for each query, bit for bit those of `best_rows`.

    Parameters
    ----------
    queries
        float32 (D, d).
    rows
        int64 (D, C): rows of the table; row 0, the unknown item, is skipped.
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,).

    Returns
    -------
    float32 (D, C), 0 where the row is 0.
    """
    out = np.zeros(rows.shape, np.float32)
    _item_logits(queries, rows, item_table, item_bias, out)
    return out


@kernel
def _weighted(features: Floats, weights: Floats, out: Floats) -> None:
    parts = np.empty(8, np.float32)
    for d in range(features.shape[0]):
        for c in range(features.shape[1]):
            out[d, c] = _dot(features[d, c], weights, parts)


@kernel
def _item_logits(queries: Floats, rows: Ints, table: Floats, bias: Floats, out: Floats) -> None:
    parts = np.empty(8, np.float32)
    for d in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            row = rows[d, c]
            if row == 0:
                continue
            out[d, c] = _dot(queries[d], table[row], parts) + bias[row]


@kernel
def _dot(left: Floats, right: Floats, parts: Floats) -> np.float32:
    """Dot product of two vectors of equal length; `parts` (8,) holds the partial sums."""
    blocks = len(left) // 8
    for k in range(8):
        parts[k] = 0
    for i in range(blocks):
        left_8, right_8 = left[8 * i : 8 * i + 8], right[8 * i : 8 * i + 8]
        for k in range(8):
            parts[k] += left_8[k] * right_8[k]
    for k in range(len(left) - 8 * blocks):
        parts[k] += left[8 * blocks + k] * right[8 * blocks + k]
    even = (parts[0] + parts[4]) + (parts[2] + parts[6])
    total: np.float32 = even + ((parts[1] + parts[5]) + (parts[3] + parts[7]))
    return total


@kernel
def best_rows(
    approximate: Floats,
    queries: Floats,
    catalogue: tuple[Floats, Floats],
    longest: np.float32,
    rows: Ints,
    scores: Floats,
) -> None:
    """Select the best items of each query: best first, the lower row first among equals.

    Whatever kernel computed `approximate`, the result is that of sorting all of `item_logits`:

    1. `approximate` and the exact logits sum the same products. They differ by at most
       `_ROUNDED * (d + 8)` times the vectors' norms, plus the rounding of the bias's addition.
    2. The blocks' maxima belong to different items. The k-th largest maximum, less that
       difference, is a floor that the logits of at least k items reach.
    3. An item whose approximate logit plus that difference is below the floor isn't on the list.
       Once k logits are known, the k-th of them raises the floor.

    Parameters
    ----------
    approximate
        float32 (R, P): product of the queries and the table plus the bias, summed in any order;
        column j is row j + 1 of the table; P is a multiple of `BLOCK`, -inf after the last row.
    queries
        float32 (R, d).
    catalogue
        Item table float32 (N + 1, d) and item bias (N + 1,).
    longest
        Largest norm among the table's rows.
    rows, scores
        int64 and float32 (R, k), k <= N: the output, filled here.
    """
    table, bias = catalogue
    k, n = rows.shape[1], len(table) - 1
    blocks = approximate.shape[1] // BLOCK
    tops, parts = np.empty(blocks, np.float32), np.empty(8, np.float32)
    for r in range(len(approximate)):
        near, query = approximate[r], queries[r]
        _tops(near, tops)
        off = _ROUNDED * np.float32(len(query) + 8) * np.sqrt(_dot(query, query, parts)) * longest
        floor = np.partition(tops, blocks - k)[blocks - k] if blocks > k else _LEAST
        floor = floor - (abs(floor) * _ROUNDED + off)
        held = 0
        for b in range(blocks):
            if tops[b] + (abs(tops[b]) * _ROUNDED + off) < floor:
                continue
            for j in range(b * BLOCK, min((b + 1) * BLOCK, n)):
                if near[j] + (abs(near[j]) * _ROUNDED + off) < floor:
                    continue
                logit = _dot(query, table[j + 1], parts) + bias[j + 1]
                if held == k:
                    if logit <= scores[r, k - 1]:
                        continue
                else:
                    held += 1
                at = held - 1
                while at > 0 and scores[r, at - 1] < logit:
                    scores[r, at], rows[r, at] = scores[r, at - 1], rows[r, at - 1]
                    at -= 1
                scores[r, at], rows[r, at] = logit, j + 1
                if held == k:
                    floor = max(floor, scores[r, k - 1])


@vector_kernel
def _tops(values: Floats, tops: Floats) -> None:
    """Write the maximum of each block of `values` into `tops`."""
    for b in range(len(tops)):
        part = values[b * BLOCK : (b + 1) * BLOCK]
        top = part[0]
        for j in range(BLOCK):  # a constant, so the vector code needs no remainder loop
            top = max(top, part[j])
        tops[b] = top

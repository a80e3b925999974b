"""Sums of products in one order: the same bits for a row alone, in any company, on any processor.

A BLAS chooses among kernels by the shape of a product and by the processor, and each of them adds
up in another order: the same row came out differently by 5e-7 in a batch of 1 and of 400. So what
a product says only narrows a choice down (`best_rows`); every number that counts is summed here.
There are eight partial sums, of every eighth number each: a processor need not wait for one
addition before it begins the next. Nothing may be reordered or fused, because these kernels have
no `fastmath`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import kernel, vector_kernel

BLOCK = 32
"""Items per block: only blocks whose best item may be on the list are looked into."""

_LEAST = np.float32(-np.inf)
_ROUNDED = np.float32(2.0**-22)
"""Twice what two sums in different orders can differ by, per number added and unit of their size:
each is off by at most 2**-24 of it, before what rounding adds to the rounding."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def row_sums(values: npt.NDArray[np.float64]) -> Doubles:
    """Sums (D,) of float64 (D, L) along each row, from the left.

    numpy adds a row up in pairs or from the left, as the array lies in memory.
    """
    out = np.zeros(len(values))
    _row_sums(np.ascontiguousarray(values), out)
    return out


def weighted(features: Floats, weights: Floats) -> Floats:
    """Float32 (D, C): the products of features (D, C, R) with weights (R,)."""
    out = np.empty(features.shape[:2], np.float32)
    _weighted(np.ascontiguousarray(features), np.ascontiguousarray(weights), out)
    return out


def item_logits(queries: Floats, rows: Ints, item_table: Floats, item_bias: Floats) -> Floats:
    """What a query says about some items, bit for bit as `best_rows` has it.

    Parameters
    ----------
    queries
        float32 (D, d).
    rows
        int64 (D, C): rows of the table; the unknown item's, 0, is left out.
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
def _row_sums(values: Doubles, out: Doubles) -> None:
    for d in range(values.shape[0]):
        for place in range(values.shape[1]):
            out[d] += values[d, place]


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
def _dot(one: Floats, other: Floats, parts: Floats) -> np.float32:
    """The sum of products of two vectors of one length; `parts` (8,) is room for partial sums."""
    whole = len(one) // 8
    for k in range(8):
        parts[k] = 0
    for i in range(whole):
        few, others = one[8 * i : 8 * i + 8], other[8 * i : 8 * i + 8]
        for k in range(8):
            parts[k] += few[k] * others[k]
    for k in range(len(one) - 8 * whole):
        parts[k] += one[8 * whole + k] * other[8 * whole + k]
    even = (parts[0] + parts[4]) + (parts[2] + parts[6])
    whole_sum: np.float32 = even + ((parts[1] + parts[5]) + (parts[3] + parts[7]))
    return whole_sum


@kernel
def best_rows(
    about: Floats,
    queries: Floats,
    catalogue: tuple[Floats, Floats],
    longest: np.float32,
    rows: Ints,
    scores: Floats,
) -> None:
    """The best items of each query: their rows and logits, best first, the lower row first among
    equals.

    Whatever kernel made `about`, the answer is that of sorting all of `item_logits`:

    1. `about` and the logits are sums of the same products, so they differ by at most
       `_ROUNDED * (d + 8)` times the vectors' lengths, and by the rounding of the bias's addition.
    2. The blocks' maxima are `about` different items: the k-th largest of them, less that
       difference, is a floor that at least k items' logits reach.
    3. An item whose `about`, plus that difference, is below the floor isn't on the list. Once k
       logits are known the k-th of them raises the floor.

    Parameters
    ----------
    about
        float32 (R, P): a product of the queries and the table, plus the bias, summed in any order;
        column j is row j + 1 of the table; P is a multiple of `BLOCK`, -inf after the last row.
    queries
        float32 (R, d).
    catalogue
        Item table float32 (N + 1, d) and item bias (N + 1,).
    longest
        Length of the table's longest row.
    rows, scores
        int64, float32 (R, k), k <= N: are filled.
    """
    table, bias = catalogue
    k, n = rows.shape[1], len(table) - 1
    blocks = about.shape[1] // BLOCK
    tops, parts = np.empty(blocks, np.float32), np.empty(8, np.float32)
    for r in range(len(about)):
        near, query = about[r], queries[r]
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
    """The maximum of each block."""
    for b in range(len(tops)):
        part = values[b * BLOCK : (b + 1) * BLOCK]
        top = part[0]
        for j in range(BLOCK):  # a constant: vector code without a rest
            top = max(top, part[j])
        tops[b] = top

"""The best items of a catalogue for each query: a product with the item table and a selection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.kernel import vector_kernel

BLOCK = 32
"""Items per block: only blocks whose best item may be on the list are looked into."""
LOGITS = 1 << 22
MOST_ROWS = 128

_LEAST = np.float32(-np.inf)

Floats = npt.NDArray[np.float32]


class BestItems:
    """Selects among the rows of an item table.

    One thread at a time: the logits' buffer is kept, since fresh memory costs more than the sums.

    Parameters
    ----------
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,); row 0, the unknown item, is never selected.
    most
        Length of the lists, where there are so many items.
    """

    def __init__(self, item_table: Floats, item_bias: Floats, most: int) -> None:
        n, d = len(item_table) - 1, item_table.shape[1]
        self.k = min(most, n)
        padded = max(1, -(-n // BLOCK)) * BLOCK
        self._columns = np.zeros((d, padded), np.float32)
        self._columns[:, :n] = item_table[1:].T
        self._bias = np.full(padded, -np.inf, np.float32)
        self._bias[:n] = item_bias[1:]
        rows = max(1, min(MOST_ROWS, LOGITS // padded))
        self._logits = np.empty((rows, padded), np.float32)

    def of(self, queries: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Rows of the table and their logits, best first, the lower row first among equals.

        Parameters
        ----------
        queries
            float32 (B, d).

        Returns
        -------
        int64 (B, k), float32 (B, k)
        """
        b = len(queries)
        rows, scores = np.zeros((b, self.k), np.int64), np.zeros((b, self.k), np.float32)
        if not self.k:
            return rows, scores
        step = len(self._logits)
        for begin in range(0, b, step):
            part = slice(begin, min(begin + step, b))
            logits = self._logits[: part.stop - begin]
            np.matmul(queries[part], self._columns, out=logits)
            logits += self._bias
            _select(logits, rows[part], scores[part])
        rows += 1
        return rows, scores


@vector_kernel
def _select(logits: Floats, places: npt.NDArray[np.int64], scores: Floats) -> None:
    """The largest of each row (R, N), their places and values into `places`, `scores` (R, k).

    N is a multiple of `BLOCK`. The k-th largest of the blocks' maxima bounds the k-th largest
    value from below, so that all but about k blocks are passed over.
    """
    k = places.shape[1]
    blocks = logits.shape[1] // BLOCK
    tops = np.empty(blocks, np.float32)
    for r in range(len(logits)):
        row = logits[r]
        for b in range(blocks):
            part = row[b * BLOCK : (b + 1) * BLOCK]
            top = part[0]
            for j in range(BLOCK):  # a constant: vector code without a rest
                top = max(top, part[j])
            tops[b] = top
        bound = np.partition(tops, blocks - k)[blocks - k] if blocks > k else _LEAST
        held = 0
        for b in range(blocks):
            if tops[b] < bound:
                continue
            for j in range(b * BLOCK, (b + 1) * BLOCK):
                value = row[j]
                if value < bound:
                    continue
                if held == k:
                    if value <= scores[r, k - 1]:
                        continue
                    at = k - 1
                else:
                    at = held
                    held += 1
                while at > 0 and scores[r, at - 1] < value:
                    scores[r, at] = scores[r, at - 1]
                    places[r, at] = places[r, at - 1]
                    at -= 1
                scores[r, at] = value
                places[r, at] = j

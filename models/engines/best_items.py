"""The best items of a catalogue for each query: a product with the item table, then a selection.

The product finds the items worth a look; `models.sums` computes their exact logits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.sums import BLOCK, best_rows

LOGITS = 1 << 22
"""Logits that exist at a time."""
MOST_ROWS = 128
"""Queries that share one product."""

Floats = npt.NDArray[np.float32]


class BestItems:
    """Selects the best rows of an item table.

    Not thread-safe: the product's buffer is reused, since fresh memory costs more than the sums.

    Parameters
    ----------
    item_table, item_bias
        float32 (N + 1, d) and (N + 1,); row 0, the unknown item, is never selected.
    most
        Length of the lists, where the catalogue has that many items.
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
        self._approximate = np.empty((rows, padded), np.float32)
        self._catalogue = np.ascontiguousarray(item_table), np.ascontiguousarray(item_bias)
        lengths = np.linalg.norm(item_table[1:].astype(np.float64), axis=1)
        self._longest = np.float32(lengths.max(initial=0.0))

    def of(self, queries: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Find the best rows and their logits, best first, the lower row first among equals.

        Parameters
        ----------
        queries
            float32 (B, d).

        Returns
        -------
        Rows int64 (B, k) and logits float32 (B, k).
        """
        b = len(queries)
        rows, scores = np.zeros((b, self.k), np.int64), np.zeros((b, self.k), np.float32)
        if not self.k:
            return rows, scores
        queries = np.ascontiguousarray(queries)
        step = len(self._approximate)
        for begin in range(0, b, step):
            part = slice(begin, min(begin + step, b))
            approximate = self._approximate[: part.stop - begin]
            np.matmul(queries[part], self._columns, out=approximate)
            approximate += self._bias
            best_rows(
                approximate, queries[part], self._catalogue, self._longest, rows[part], scores[part]
            )
        return rows, scores

"""The best items of a catalogue for each query: a product with the item table and a selection.

The product says which items are worth a look; their logits are summed apart (`models.sums`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.sums import BLOCK, best_rows

LOGITS = 1 << 22
MOST_ROWS = 128

Floats = npt.NDArray[np.float32]


class BestItems:
    """Selects among the rows of an item table.

    One thread at a time: the product's buffer is kept, since fresh memory costs more than the sums.

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
        self._about = np.empty((rows, padded), np.float32)
        self._catalogue = np.ascontiguousarray(item_table), np.ascontiguousarray(item_bias)
        lengths = np.linalg.norm(item_table[1:].astype(np.float64), axis=1)
        self._longest = np.float32(lengths.max(initial=0.0))

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
        queries = np.ascontiguousarray(queries)
        step = len(self._about)
        for begin in range(0, b, step):
            part = slice(begin, min(begin + step, b))
            about = self._about[: part.stop - begin]
            np.matmul(queries[part], self._columns, out=about)
            about += self._bias
            best_rows(
                about, queries[part], self._catalogue, self._longest, rows[part], scores[part]
            )
        return rows, scores

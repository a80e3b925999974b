"""What users went on to: forward co-visitation, the method that Hark has to beat.

`pairs[i, j]` counts how often j came within a few events after i, nearer ones more. A user's
last items vote for what usually followed them. Looking forward only matters: counted both ways,
the same votes lose a tenth of their quality (docs/lab-notes.md). Every pair is kept, which no
worker could: a baseline, not the worker's counters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.covisitation import forward_counts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

RECENT = 10
"""Last events that vote, each with `DECAY` times the weight of the one after it."""
DECAY = 0.7
SOURCE_EXPONENT = 0.5
TARGET_EXPONENT = 0.25
"""Votes are divided by these powers of how often the voting and the voted item were visited."""


class Neighbours:
    """Counted on some users' events, asked for any.

    Parameters
    ----------
    items, users
        int64 (n,): item rows, users' events one user after the other, each in time order.
    n_rows
        Item rows, row 0 included.
    """

    def __init__(self, items: Ints, users: Ints, n_rows: int) -> None:
        visits = np.bincount(items, minlength=n_rows) + 1.0
        self._pairs: Any = (
            sparse.diags(visits**-SOURCE_EXPONENT)
            @ forward_counts(items, users, n_rows)
            @ sparse.diags(visits**-TARGET_EXPONENT)
        ).tocsr()

    def scores(self, histories: Ints, lengths: Ints) -> Floats:
        """Scores (U, n_rows) after right-padded histories (U, L) of `lengths` (U,)."""
        back = lengths[:, None] - 1 - np.arange(histories.shape[1])  # (U, L): 0 is the newest
        user, place = np.nonzero((back >= 0) & (back < RECENT))
        weight = DECAY ** back[user, place]
        shape = (len(histories), self._pairs.shape[0])
        votes = sparse.csr_matrix((weight, (user, histories[user, place])), shape=shape)
        found: Floats = (votes @ self._pairs).toarray().astype(np.float32)
        return found

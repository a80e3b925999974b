"""Which of a corpus' questions train and which validate, split in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.training.corpus import Corpus, Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """Which of a corpus' questions train and which validate.

    Attributes
    ----------
    target_rows
        int64 (n,): next distinct item at each event, 0 where there is none.
    train_items, validation_items
        bool (n,): split by the time of the target event.
    train_churn, validation_churn, train_risk, validation_risk
        bool (P,) over the corpus' points.
    """

    target_rows: Ints
    train_items: Bools
    validation_items: Bools
    train_churn: Bools
    validation_churn: Bools
    train_risk: Bools
    validation_risk: Bools


def split_items(corpus: Corpus, cut_s: int) -> tuple[Ints, Bools, Bools]:
    """Targets (n,) and which of them train (the target lies before `cut_s`) or validate."""
    n = len(corpus)
    following = corpus.following()
    known = following < n
    at = np.minimum(following, max(n - 1, 0))
    rows = np.where(known, corpus.item_rows[at], 0)
    late = corpus.times_s[at] >= cut_s
    return rows, known & ~late, known & late

"""Model inputs of a corpus' decision points, as the worker would build them."""

from __future__ import annotations

import numpy as np

from models.features.model_inputs import ModelInputs, gap_buckets
from models.training.corpus import Corpus, Ints


def at_points(corpus: Corpus, rows: Ints, length: int = 64) -> ModelInputs:
    """Inputs (B, `length`) of the points `rows` (B,): each sees its sequence up to its own event.

    The newest event's gap is to now, and a decision is made at that very moment.
    """
    event = corpus.points.event[rows]
    begins = np.flatnonzero(np.diff(corpus.sequences, prepend=-1))
    begin = begins[np.searchsorted(begins, event, side="right") - 1]
    lengths = np.minimum(event - begin + 1, length)  # (B,)
    steps = np.arange(length)
    inside = steps < lengths[:, None]  # (B, L)
    index = np.where(inside, event[:, None] - lengths[:, None] + 1 + steps, 0)
    now = gap_buckets(np.zeros(1, dtype=np.int64))[0]
    gaps = np.where(steps == lengths[:, None] - 1, now, corpus.gaps[index])
    return ModelInputs(
        item_rows=np.where(inside, corpus.item_rows[index], 0),
        kinds=np.where(inside, corpus.kinds[index], 0),
        gaps=np.where(inside, gaps, 0),
        hours=np.where(inside, corpus.hours[index], 0),
        amounts=np.where(inside, corpus.amounts[index], 0).astype(np.float32),
        features=corpus.points.features[rows],
        lengths=lengths.astype(np.int64),
    )

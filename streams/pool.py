"""The candidates of a decision, from every source, in the ranker's terms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.candidates import LOWEST, Pool, own_items
from models.engine import Scores
from models.windows import Windows
from streams.candidates import Source, Suggestions

ENGINE_CANDIDATES = 50
OWN_CANDIDATES = 40


def gather(
    windows: Windows,
    suggestions: Suggestions,
    scores: Scores,
    *,
    indices: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
) -> Pool:
    """Candidates of D decisions: the counters', the user's own, the engine's.

    The item of the triggering event is left out: the user is looking at it.

    Parameters
    ----------
    indices
        int32 (N + 1,): model row -> the worker's item index, -1 for row 0.
    rows
        int64 (n,): the worker's item index -> model row, 0 = unknown to the model; shorter
        than the worker's table where items came after the model.
    item_table, item_bias
        The model's.
    """
    d = len(windows)
    current = windows.items[np.arange(d), windows.lengths - 1][:, None]
    listed = indices[scores.candidates[:, :ENGINE_CANDIDATES]]  # (D, E)
    offered = np.where(suggestions.items == current, -1, suggestions.items)
    own = _without(own_items(windows, OWN_CANDIDATES), offered, current)
    fresh = _without(_without(listed, own, current), offered, current)
    items = np.concatenate([offered, own, fresh], axis=1).astype(np.int32)  # (D, C)
    width, more = items.shape, items.shape[1] - offered.shape[1]

    inside = (items >= 0) & (items < len(rows))
    row = (
        np.where(inside, rows[np.where(inside, items, 0)], 0) if len(rows) else np.zeros_like(items)
    )
    logits = np.matmul(item_table[row], scores.queries[:, :, None])[:, :, 0] + item_bias[row]
    known = row > 0
    engine = np.where(known, np.clip(logits - _log_sum(scores.scores), LOWEST, 0.0), LOWEST)
    match = (items[:, :, None] == listed[:, None, :]) & (items >= 0)[:, :, None]  # (D, C, E)
    place = (
        np.where(match.any(axis=2), match.argmax(axis=2), -1)
        if listed.shape[1]
        else (np.full(width, -1))
    )
    pad = ((0, 0), (0, more))
    sources = np.concatenate(
        [
            suggestions.sources,
            np.full(own.shape, Source.OWN_RECENT, np.uint8),
            np.full(fresh.shape, Source.MODEL, np.uint8),
        ],
        axis=1,
    )
    return Pool(
        items=items,
        near=np.pad(suggestions.near, pad),
        next_to=np.pad(suggestions.next_to, pad),
        popular=np.pad(suggestions.popular, pad),
        hot=np.pad(suggestions.hot, pad),
        usual=np.pad(suggestions.usual, pad),
        offered=np.pad(offered >= 0, pad),
        engine=engine.astype(np.float32),
        engine_place=place.astype(np.int64),
        known=known,
        bias=np.where(known, item_bias[row], 0.0).astype(np.float32),
        sources=sources,
    )


def _without(
    items: npt.NDArray[np.int32], others: npt.NDArray[np.int32], current: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """`items` (D, A) with -1 for what is among `others` (D, B) or is `current` (D, 1)."""
    double = (items[:, :, None] == others[:, None, :]).any(axis=2) | (items == current)
    return np.where(double, np.int32(-1), items)


def _log_sum(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log of the sum of exp over each row (D, K) -> (D, 1)."""
    top = scores.max(axis=1, keepdims=True, initial=-1e4)
    total = np.log(np.exp(scores - top).sum(axis=1, keepdims=True) + 1e-9)
    answer: npt.NDArray[np.float32] = top + total
    return answer

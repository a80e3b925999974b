"""The pool: a decision's candidates from all sources, with the numbers that the ranker needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.engines.engine import Scores
from models.features.windows import Windows
from models.kernel import kernel
from models.ranking.candidates import LOWEST, Pool
from models.sums import item_logits
from streams.counters.suggestions import Source, Suggestions

ENGINE_CANDIDATES = 50
OWN_CANDIDATES = 40
COUNTED = "near", "next_to", "ahead", "next_ahead", "popular", "hot", "usual"
"""The columns that come from the counters."""

_OWN, _MODEL = int(Source.OWN_RECENT), int(Source.MODEL)

Items = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def gather(
    windows: Windows,
    suggestions: Suggestions,
    scores: Scores,
    *,
    indices: Items,
    rows: Ints,
    item_table: Floats,
    item_bias: Floats,
) -> Pool:
    """Candidates of D decisions: from the counters, the user's own items, and the engine.

    The item of the triggering event is left out, because the user is looking at it. A candidate of
    several sources appears once, with the first source.

    Parameters
    ----------
    windows, suggestions, scores
        Of the same D decision points.
    indices
        int32 (N + 1,): model row -> the worker's item index, -1 for row 0.
    rows
        int64 (n,): the worker's item index -> model row, 0 = unknown to the model; shorter than
        the worker's table if items were added after the model was loaded.
    item_table, item_bias
        The model's item vectors, float32 (N + 1, H), and biases, float32 (N + 1,).
    """
    d, k = suggestions.items.shape
    listed = indices[scores.candidates[:, :ENGINE_CANDIDATES]]  # (D, E)
    shape = d, k + OWN_CANDIDATES + listed.shape[1]  # (D, C)
    pool = Pool(
        items=np.full(shape, -1, np.int32),
        near=np.zeros(shape, np.float32),
        next_to=np.zeros(shape, np.float32),
        ahead=np.zeros(shape, np.float32),
        next_ahead=np.zeros(shape, np.float32),
        popular=np.zeros(shape, np.float32),
        hot=np.zeros(shape, np.float32),
        usual=np.zeros(shape, np.float32),
        offered=np.zeros(shape, np.bool_),
        engine=np.full(shape, LOWEST, np.float32),
        engine_place=np.full(shape, -1, np.int64),
        known=np.zeros(shape, np.bool_),
        bias=np.zeros(shape, np.float32),
        sources=np.full(shape, _MODEL, np.uint8),
    )
    for name in (*COUNTED, "sources"):
        getattr(pool, name)[:, :k] = getattr(suggestions, name)
    pool.sources[:, k : k + OWN_CANDIDATES] = _OWN
    _choose(
        windows.items, windows.lengths, suggestions.items, listed, pool.items, pool.engine_place
    )
    np.greater_equal(pool.items[:, :k], 0, out=pool.offered[:, :k])
    total = _log_sum(scores.scores)
    model_rows = _model_rows(pool.items, rows)
    logits = item_logits(scores.queries, model_rows, item_table, item_bias)
    _ask(model_rows, logits, item_bias, total, (pool.engine, pool.bias), pool.known)
    return pool


@kernel
def _choose(
    history: Items, lengths: Items, offered: Items, listed: Items, items: Items, places: Ints
) -> None:
    """Fill the candidates `items` and their `places` (D, C) in the engine's list."""
    k, most = offered.shape[1], items.shape[1] - listed.shape[1]
    for d in range(len(items)):
        chosen, seen = items[d], history[d, : lengths[d]]
        current = seen[-1]  # may be -1
        for j in range(k):
            if offered[d, j] != current:
                chosen[j] = offered[d, j]
        n = 0  # distinct own items so far, newest first
        for at in range(len(seen) - 1, -1, -1):
            item = seen[at]
            if item < 0 or _place(seen[at + 1 :], item) >= 0:
                continue
            if item != current and _place(chosen[:k], item) < 0:
                chosen[k + n] = item
            n += 1
            if n == most - k:
                break
        for e in range(listed.shape[1]):
            item = listed[d, e]
            if item < 0 or item == current:
                continue
            at = _place(chosen[:most], item)
            if at < 0:
                at = most + e
                chosen[at] = item
            places[d, at] = e


@kernel
def _place(items: Items, item: int) -> int:
    """The item's first place, -1 if it isn't there."""
    for place in range(len(items)):
        if items[place] == item:
            return place
    return -1


@kernel
def _model_rows(items: Items, rows: Ints) -> Ints:
    """Model row of each item (D, C), 0 = none, or unknown to the model."""
    out = np.zeros(items.shape, np.int64)
    for d in range(items.shape[0]):
        for c in range(items.shape[1]):
            item = items[d, c]
            if 0 <= item < len(rows):
                out[d, c] = rows[item]
    return out


@kernel
def _ask(
    rows: Ints,
    logits: Floats,
    bias: Floats,
    total: Floats,
    out: tuple[Floats, Floats],
    known: npt.NDArray[np.bool_],
) -> None:
    """Fill in the network's log-probability and bias of each candidate that it knows."""
    engine, biases = out
    for d in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            row = rows[d, c]
            if row > 0:
                logit = logits[d, c] - total[d]
                engine[d, c] = min(max(logit, np.float32(LOWEST)), np.float32(0.0))
                known[d, c], biases[d, c] = True, bias[row]


@kernel
def _log_sum(scores: Floats) -> Floats:
    """Log of the sum of exp over each row (D, K) -> (D,)."""
    out = np.empty(len(scores), np.float32)
    for d in range(len(scores)):
        top, total = np.float32(-1e4), 1e-9
        for score in scores[d]:
            top = max(top, score)
        for score in scores[d]:
            total += np.exp(np.float64(score) - np.float64(top))
        out[d] = top + np.log(total)
    return out

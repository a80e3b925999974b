"""The simple methods that Hark is measured against: one popularity, one co-visitation.

Popularity counts events, decayed or not; of equal counts the lower id comes first.
Co-visitation counts how often an item came within a few events after another, nearer ones more; a
user's last items vote for what usually followed them. Looking forward only matters: counted both
ways, the same votes lose a tenth of their quality (docs/lab-notes.md).

The worker counts co-visitation itself (`streams/counters/item_counts.py`) and must: it keeps a
bounded number of neighbours per item in compiled arrays, decays them and can undo a batch. These
keep every pair, which no worker could: baselines, not the worker's counters.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.evaluation import metrics
from models.ranking.covisitation import WINDOW, forward_counts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

TAU_S = 7 * 86_400.0
"""Seconds after which an event has lost all but 1/e of its weight."""
RECENT = 10
"""Last events that vote, each with `DECAY` times the weight of the one after it."""
DECAY = 0.7
SOURCE_EXPONENT = 0.5
TARGET_EXPONENT = 0.25
"""Votes are divided by these powers of how often the voting and the voted item were visited."""
TOP = 10
_REFRESH_EVENTS = 200  # the ten most popular change slowly


def popularity_ranks(
    items: Ints,
    times_s: Ints,
    known: Ints,
    current: Ints,
    targets: Ints,
    *,
    tau_s: float = TAU_S,
) -> Ints:
    """Place of each target among all items by decayed popularity, exact and up to date.

    Parameters
    ----------
    items, times_s
        int64 (n,): a log in time order; an item below 0 is none.
    known
        int64 (Q,): how many of its events each question may count.
    current
        int64 (Q,): the item at hand, which is left out of the list; below 0 none.
    targets
        int64 (Q,): the item that came next.

    Returns
    -------
    Ints
        int64 (Q,): from 1, `metrics.MISSING` for an item that nobody has seen yet.
    """
    counts = np.zeros(int(max(items.max(initial=-1), targets.max(initial=-1))) + 1)
    found = np.full(len(targets), metrics.MISSING)
    done, clock_s = 0, int(times_s[0]) if len(times_s) else 0
    for question in np.argsort(known, kind="stable").tolist():
        row = int(known[question])
        if row > done:
            now_s = int(times_s[row - 1])
            new = items[done:row]
            counts *= np.exp((clock_s - now_s) / tau_s)
            weights = np.exp((times_s[done:row] - now_s) / tau_s)
            counts += np.bincount(new[new >= 0], weights[new >= 0], len(counts))
            done, clock_s = row, now_s
        target, left_out = int(targets[question]), int(current[question])
        own = counts[target] if target >= 0 else 0.0
        if own > 0:
            ahead = counts > own
            ahead[:target] |= counts[:target] == own
            found[question] = int(ahead.sum()) - int(left_out >= 0 and ahead[left_out]) + 1
    return found


class Neighbours:
    """Co-visitation counted on some users' events, asked for any.

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


@dataclass(slots=True)
class Counters:
    """The same methods on a log that is still being read, and each user's items in order."""

    seen: dict[str, int] = field(default_factory=dict)
    after: dict[str, dict[str, float]] = field(default_factory=dict)
    items_of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _top: list[str] = field(default_factory=list)
    _events: int = 0

    def add(self, user: str, item: str) -> None:
        """One more event."""
        self._events += 1
        self.seen[item] = self.seen.get(item, 0) + 1
        items = self.items_of[user]
        for distance, earlier in enumerate(reversed(items[-WINDOW:]), start=1):
            if earlier != item:
                follows = self.after.setdefault(earlier, {})
                follows[item] = follows.get(item, 0.0) + 1 / distance
        items.append(item)

    def popular(self, user: str) -> list[str]:
        """The most popular items but the user's last."""
        if self._events % _REFRESH_EVENTS == 0 or len(self._top) <= TOP:
            self._top = _best(self.seen, TOP + 1)
        last = self.items_of[user][-1:]
        return [item for item in self._top if item not in last][:TOP]

    def own_recent(self, user: str) -> list[str]:
        """The user's items, last first, but the last one itself."""
        return list(dict.fromkeys(reversed(self.items_of[user])))[1 : TOP + 1]

    def covisited(self, user: str) -> list[str]:
        """What usually followed the user's last items, but the last one itself."""
        recent = self.items_of[user][: -RECENT - 1 : -1]
        score: dict[str, float] = {}
        for age, item in enumerate(recent):
            weight = DECAY**age / (self.seen[item] + 1) ** SOURCE_EXPONENT
            for other, count in self.after.get(item, {}).items():
                vote = weight * count / (self.seen[other] + 1) ** TARGET_EXPONENT
                score[other] = score.get(other, 0.0) + vote
        score.pop(recent[0], None)
        return _best(score, TOP)


def _best(score: dict[str, Any], count: int) -> list[str]:
    """The best items; of equal ones the lower id first."""
    return heapq.nsmallest(count, score, key=lambda item: (-score[item], item))

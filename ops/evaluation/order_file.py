"""Users' items in order, without a clock: the public leave-one-out files.

Two shapes: `user item` a line, or `user item item ...` a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.features.features import NAMES
from models.training.corpus import Corpus, Ints, Points
from schemas.errors import ConfigError
from schemas.events.kinds import Kind

JUST_NOW = 1
"""Gap bucket and hour of every event: the files have no clock."""


@dataclass(frozen=True, slots=True)
class Orders:
    """n events, one user after the other, each user's in order.

    Attributes
    ----------
    users
        int64 (n,): dense user number, ascending.
    items
        int64 (n,): item row, 1..`n_items`.
    """

    users: Ints
    items: Ints
    n_items: int

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        return int(self.users[-1]) + 1 if len(self) else 0

    def from_end(self) -> Ints:
        """How many events of the user follow each one: 0 for the last -> int64 (n,)."""
        sizes = np.bincount(self.users)
        ends: Ints = np.cumsum(sizes)[self.users] - 1 - np.arange(len(self))
        return ends

    def without_last(self, count: int) -> Orders:
        """The orders without each user's last `count` events."""
        kept = self.from_end() >= count
        return Orders(self.users[kept], self.items[kept], self.n_items)

    def last(self) -> Orders:
        """Each user's last event."""
        kept = self.from_end() == 0
        return Orders(self.users[kept], self.items[kept], self.n_items)

    def seen(self, users: Ints) -> npt.NDArray[np.bool_]:
        """Which rows each of `users` (U,) had, row 0 counted as had: bool (U, n_items + 1)."""
        had = np.zeros((len(users), self.n_items + 1), dtype=np.bool_)
        had[:, 0] = True
        mine = np.isin(self.users, users)
        had[np.searchsorted(users, self.users[mine]), self.items[mine]] = True
        return had


def read(path: Path) -> Orders:
    """Read a file of either shape.

    Raises
    ------
    ConfigError
        A line isn't numbers, or a user has fewer than three items: nothing to train, validate and
        test on.
    """
    users: list[Ints] = []
    items: list[Ints] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                numbers = np.array(line.split(), dtype=np.int64)
            except ValueError:
                raise ConfigError(f"{path}: line {number:,} isn't numbers: {line!r:.60}") from None
            if not len(numbers):
                continue
            users.append(np.full(len(numbers) - 1, numbers[0]))
            items.append(numbers[1:])
    if not users:
        raise ConfigError(f"{path}: no rows")
    who, what = np.concatenate(users), np.concatenate(items)
    user = np.unique(who, return_inverse=True)[1].astype(np.int64)
    catalogue, item = np.unique(what, return_inverse=True)
    order = np.argsort(user, kind="stable")
    if np.bincount(user).min() < 3:
        raise ConfigError(f"{path}: leave-one-out needs three items of every user")
    return Orders(user[order], item[order].astype(np.int64) + 1, len(catalogue))


def corpus(orders: Orders) -> Corpus:
    """The orders as a training corpus: views, one after the other, a decision at each."""
    n = len(orders)
    return Corpus(
        users=orders.users,
        times_s=np.arange(n, dtype=np.int64),
        item_rows=orders.items,
        kinds=np.full(n, int(Kind.VIEW), dtype=np.int64),
        gaps=np.full(n, JUST_NOW, dtype=np.int64),
        hours=np.full(n, JUST_NOW, dtype=np.int64),
        amounts=np.zeros(n, dtype=np.float32),
        points=Points(
            event=np.arange(n, dtype=np.int64),
            features=np.broadcast_to(np.float32(0), (n, len(NAMES))),
            churn=np.full(n, -1, dtype=np.int8),
            risk=np.full(n, -1, dtype=np.int8),
        ),
    )

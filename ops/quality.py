"""How good the published lists were, beside what three simple methods would have said then.

Every list that was published for the streamed part is asked one question: is the next other
item its user goes to among its ten? Each method answers at the same moment, from the same log
up to the triggering event: what is most popular, what is visited together with the user's last
ten items, what the user looked at last. The list counts as it was published, filters included.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2

TOP = 10
_WINDOW = 5
_DECAY = 0.7
_REFRESH_EVENTS = 200  # the ten most popular change slowly


@dataclass(slots=True)
class Standing:
    """Hits of one method over the questions asked."""

    asked: int = 0
    hits: int = 0
    gain: float = 0.0

    def answer(self, shown: Sequence[str], target: str) -> None:
        """Count one list."""
        self.asked += 1
        if target in shown[:TOP]:
            self.hits += 1
            self.gain += 1 / log2(2 + shown.index(target))

    def summary(self) -> dict[str, float]:
        """Hit rate and normalised discounted cumulative gain at ten."""
        asked = max(self.asked, 1)
        return {"hr_at_10": round(self.hits / asked, 4), "ndcg_at_10": round(self.gain / asked, 4)}


@dataclass(slots=True)
class Counters:
    """Popularity and co-visitation of a log read so far, and each user's items in order."""

    seen: dict[str, int] = field(default_factory=dict)
    discount: dict[str, float] = field(default_factory=dict)
    together: dict[str, dict[str, float]] = field(default_factory=dict)
    items_of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _top: list[str] = field(default_factory=list)
    _events: int = 0

    def add(self, user: str, item: str) -> None:
        """One more event; neighbours within five events weigh 1 / distance."""
        self._events += 1
        self.seen[item] = self.seen.get(item, 0) + 1
        self.discount[item] = self.seen[item] ** -0.25
        items = self.items_of[user]
        mine = self.together.setdefault(item, {})
        for distance, other in enumerate(reversed(items[-_WINDOW:]), start=1):
            if other != item:
                theirs = self.together[other]
                mine[other] = mine.get(other, 0.0) + 1 / distance
                theirs[item] = theirs.get(item, 0.0) + 1 / distance
        items.append(item)

    def popular(self, user: str) -> list[str]:
        """The most popular items but the user's last."""
        if self._events % _REFRESH_EVENTS == 0 or len(self._top) <= TOP:
            self._top = heapq.nlargest(TOP + 1, self.seen, key=self.seen.__getitem__)
        last = self.items_of[user][-1:]
        return [item for item in self._top if item not in last][:TOP]

    def own_recent(self, user: str) -> list[str]:
        """The user's items, last first, but the last one itself."""
        return list(dict.fromkeys(reversed(self.items_of[user])))[1 : TOP + 1]

    def covisited(self, user: str) -> list[str]:
        """Neighbours of the last ten items, discounted by age and by popularity."""
        recent = list(dict.fromkeys(reversed(self.items_of[user])))[:10]
        score: dict[str, float] = {}
        discount, so_far = self.discount, score.get
        for age, item in enumerate(recent):
            weight = _DECAY**age / self.seen[item] ** 0.5
            for other, count in self.together[item].items():
                score[other] = so_far(other, 0.0) + weight * count * discount[other]
        score.pop(recent[0], None)
        return heapq.nlargest(TOP, score, key=score.__getitem__)


def judge(
    events: Iterable[tuple[str, str, str | None]], lists: Mapping[str, Sequence[str]]
) -> dict[str, Standing]:
    """Compare published lists with the simple methods.

    Parameters
    ----------
    events
        (message id, user, item or None) of the whole log, in the order it was sent.
    lists
        Message id of the triggering event -> item ids, best first.

    Returns
    -------
    dict of Standing
        `hark`, `popularity`, `covisitation`, `own_recent`; all were asked the same questions.
    """
    standings = {name: Standing() for name in ("hark", "popularity", "covisitation", "own_recent")}
    counters = Counters()
    open_questions: dict[str, list[dict[str, Sequence[str]]]] = {}
    for message, user, item in events:
        items = counters.items_of[user]
        if item is not None:
            if items and items[-1] != item:
                for answers in open_questions.pop(user, ()):
                    for name, shown in answers.items():
                        standings[name].answer(shown, item)
            counters.add(user, item)
        if message in lists and items:
            answers = {
                "hark": list(lists[message]),
                "popularity": counters.popular(user),
                "covisitation": counters.covisited(user),
                "own_recent": counters.own_recent(user),
            }
            open_questions.setdefault(user, []).append(answers)
    return standings

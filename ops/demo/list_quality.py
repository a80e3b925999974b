"""How good the published lists were, beside what three simple methods would have said then.

Every list that was published for the streamed part is asked one question: is the next other
item its user goes to among its ten? Each method answers at the same moment, from the same log
up to the triggering event: what is most popular, what is visited together with the user's last
ten items, what the user looked at last. The list counts as it was published, filters included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2

from ops.baselines import TOP, Counters


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

"""Decision points: which events are scored, and for which tasks.

A pure function of a user's accepted events in log order, never of batch boundaries:

- RISK at every record of a watched kind;
- RECOMMEND and CHURN if the kind asks for them, or if `refresh_s` of event time have passed since
  the user's last such point (a user's first event counts as due).

A record of several rows (an order of several products) is a single event: its last accepted row
asks. An event older than the user's newest event never asks for RECOMMEND or CHURN, because a
decision that knows more has been made already. Label events are never decision points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from schemas.events.kinds import N_KINDS, Kind


class Task(IntFlag):
    """What a decision point asks for; a point may ask for several tasks."""

    RISK = 1
    RECOMMEND = 2
    CHURN = 4


@dataclass(frozen=True, slots=True)
class PointPolicy:
    """When a user's event asks for a decision.

    Attributes
    ----------
    watch
        Kinds scored for risk.
    ask
        Kinds that want a fresh recommendation at once.
    refresh_s
        Event time in seconds after which any event refreshes the recommendation.
    watched, asking
        bool (N_KINDS,): the kinds of `watch` and `ask` as tables.
    """

    watch: frozenset[Kind] = frozenset({Kind.PAYMENT, Kind.LOGIN})
    ask: frozenset[Kind] = frozenset({Kind.CART, Kind.PURCHASE, Kind.SEARCH})
    refresh_s: int = 300
    watched: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)
    asking: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "watched", _table(self.watch))
        object.__setattr__(self, "asking", _table(self.ask))


@dataclass(frozen=True, slots=True)
class Points:
    """The decision points of one batch, in log order.

    Attributes
    ----------
    rows
        int64 (D,): the triggering event's row in the batch's columns.
    tasks
        uint8 (D,): `Task` flags.
    """

    rows: npt.NDArray[np.int64]
    tasks: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rows)

    @staticmethod
    def none() -> Points:
        """D = 0."""
        return Points(np.empty(0, np.int64), np.empty(0, np.uint8))

    def asking(self, task: Task) -> npt.NDArray[np.bool_]:
        """Bool (D,): which points ask for `task`."""
        asking: npt.NDArray[np.bool_] = (self.tasks & np.uint8(task)) != 0
        return asking


def _table(kinds: frozenset[Kind]) -> npt.NDArray[np.bool_]:
    table = np.zeros(N_KINDS, np.bool_)
    table[[int(kind) for kind in kinds - {Kind.LABEL, Kind.PAD}]] = True
    return table

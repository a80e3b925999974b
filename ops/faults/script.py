"""Which fault happens when: a list of steps, drawn from a seed before the run begins."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """A fault, or the end of one."""

    WORKER_KILL = "worker killed"
    WORKER_PAUSE = "worker stopped"
    WORKER_RESUME = "worker continued"
    WORKER_RESTART = "worker restarted"
    WORKER_LEAVE = "worker leaves"
    WORKER_JOIN = "worker joins"
    BROKER_KILL = "broker killed"
    BROKER_STOP = "broker shut down"
    BROKER_START = "broker started"
    BROKER_PAUSE = "broker stopped"
    BROKER_RESUME = "broker continued"
    CUT = "network cut"
    STALL = "network silent"
    MEND = "network back"


ENDS = {
    Action.WORKER_PAUSE: Action.WORKER_RESUME,
    Action.WORKER_LEAVE: Action.WORKER_JOIN,
    Action.BROKER_KILL: Action.BROKER_START,
    Action.BROKER_STOP: Action.BROKER_START,
    Action.BROKER_PAUSE: Action.BROKER_RESUME,
    Action.CUT: Action.MEND,
    Action.STALL: Action.MEND,
}
"""What ends what lasts."""
TO_A_BROKER = frozenset({Action.BROKER_KILL, Action.BROKER_STOP, Action.BROKER_PAUSE})


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """Do it `at_s` after the start, for `lasts_s`, to `target` modulo the number of those there."""

    at_s: float
    action: Action
    target: int
    lasts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """How often a fault happens in a minute, at least in a run, and how long it lasts."""

    action: Action
    per_minute: float
    at_least: int
    lasts_s: tuple[float, float] = (0, 0)


# SIGSTOPs and some of the cuts outlast the session, which is 6 s for workers and for brokers.
_OF_WORKERS = (
    _Kind(Action.WORKER_KILL, 5.0, 2),
    _Kind(Action.WORKER_PAUSE, 0.6, 1, (8, 12)),
    _Kind(Action.WORKER_RESTART, 0.6, 1),
    _Kind(Action.WORKER_LEAVE, 0.4, 0, (4, 9)),
    _Kind(Action.CUT, 0.4, 1, (3, 12)),
    _Kind(Action.STALL, 0.4, 0, (8, 14)),
)
_OF_BROKERS = (
    _Kind(Action.BROKER_KILL, 0.6, 1, (2, 6)),
    _Kind(Action.BROKER_PAUSE, 0.4, 0, (7, 10)),
    _Kind(Action.BROKER_STOP, 0.2, 0, (2, 6)),
)
_QUIET = 0.05, 0.9
"""Share of the run before the first fault, and after which none begins."""


def script(seed: int, minutes: float) -> list[Step]:
    """The faults of a run in order; the same for the same seed and length.

    Faults of workers and faults of brokers are spread evenly, each in a shuffled order, and so
    overlap.
    """
    drawn = random.Random(seed)
    return sorted([*_lane(drawn, minutes, _OF_WORKERS), *_lane(drawn, minutes, _OF_BROKERS)])


def _lane(drawn: random.Random, minutes: float, kinds: tuple[_Kind, ...]) -> list[Step]:
    faults = [
        kind for kind in kinds for _ in range(max(kind.at_least, round(kind.per_minute * minutes)))
    ]
    drawn.shuffle(faults)
    begin_s, end_s = (share * minutes * 60 for share in _QUIET)
    each_s = (end_s - begin_s) / len(faults)
    return [
        Step(
            begin_s + each_s * (place + 0.6 * drawn.random()),
            kind.action,
            drawn.randrange(1_000),
            drawn.uniform(*kind.lasts_s),
        )
        for place, kind in enumerate(faults)
    ]

"""The script's faults, done to brokers, workers and the network when they are due."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ops.faults.fleet import Fleet
from ops.faults.log_reader import in_sync
from ops.faults.producer import Background
from ops.faults.relay import Relay
from ops.faults.script import ENDS, TO_A_BROKER, Action, Step
from ops.local_kafka.cluster import LocalKafka

Tell = Callable[[str, float], None]
"""Told what happens, and the share of the script that is done."""
_TICK_S = 0.1
_AGAIN_S = 2.0
_SETTLE_S = 10.0  # a broker that has just started may still be listed as it was before


@dataclass(slots=True)
class Hands:
    """What faults happen to.

    Attributes
    ----------
    background
        Where the relay runs.
    counts
        `broker_kills`, `broker_stops`, `broker_restarts`, `network_cuts`.
    """

    kafka: LocalKafka
    relay: Relay
    fleet: Fleet
    background: Background
    counts: Counter[str] = field(default_factory=Counter)
    _broker_out: bool = False
    _broker_back_s: float = float("-inf")

    def ready_for(self, action: Action) -> bool:
        """Whether it may happen now: one broker at a time, and one worker must be there."""
        if action in TO_A_BROKER:
            settled = time.monotonic() > self._broker_back_s + _SETTLE_S
            all_there = not self._broker_out and settled
            return all_there and asyncio.run(in_sync(self.kafka.bootstrap_servers))
        if action in (Action.WORKER_PAUSE, Action.WORKER_LEAVE):
            return len(self.fleet.running()) > 1
        return action in ENDS.values() or bool(self.fleet.running())

    def do(self, action: Action, target: int) -> int:
        """Do it -> whom it happened to, as the `target` of what ends it."""
        match action:
            case Action.CUT | Action.STALL | Action.MEND:
                self.background.call(self._network(action))
                return 0
            case (
                Action.BROKER_KILL
                | Action.BROKER_STOP
                | Action.BROKER_START
                | Action.BROKER_PAUSE
                | Action.BROKER_RESUME
            ):
                return self._to_broker(action, target % len(self.kafka.nodes))
            case _:
                return self._to_worker(action, target)

    async def _network(self, action: Action) -> None:
        match action:
            case Action.CUT:
                self.relay.cut()
            case Action.STALL:
                self.relay.stall()
            case _:
                self.relay.mend()
        self.counts["network_cuts"] += action is not Action.MEND

    def _to_broker(self, action: Action, index: int) -> int:
        kafka = self.kafka
        match action:
            case Action.BROKER_KILL:
                kafka.kill(index)
                self.counts["broker_kills"] += 1
            case Action.BROKER_STOP:
                kafka.shut_down(index)
                self.counts["broker_restarts"] += 1
            case Action.BROKER_PAUSE:
                kafka.pause(index)
                self.counts["broker_stops"] += 1
            case Action.BROKER_START:
                kafka.restart(index, None)
            case _:
                kafka.resume(index)
        self._broker_out = action in TO_A_BROKER
        self._broker_back_s = time.monotonic()
        return index

    def _to_worker(self, action: Action, target: int) -> int:
        fleet = self.fleet
        if action in ENDS.values():
            member = fleet.members[target]
        else:
            there = fleet.running()
            member = there[target % len(there)]
        match action:
            case Action.WORKER_KILL:
                fleet.kill(member)
            case Action.WORKER_PAUSE:
                fleet.pause(member)
            case Action.WORKER_RESUME:
                fleet.resume(member)
            case Action.WORKER_RESTART:
                fleet.restart(member)
            case Action.WORKER_LEAVE:
                fleet.leave(member)
                fleet.counts["leaves"] += 1
            case _:
                fleet.start(member)
        return member.number


def inflict(steps: Sequence[Step], hands: Hands, until_s: float, tell: Tell) -> None:
    """Do all steps, each when it is due or as soon after as it can be; at least `until_s` long.

    Workers that end by themselves are started again.
    """
    waiting = list(steps)
    heapq.heapify(waiting)
    begun = time.monotonic()
    while waiting or time.monotonic() - begun < until_s:
        hands.fleet.revive()
        now_s = time.monotonic() - begun
        if not waiting or waiting[0].at_s > now_s:
            time.sleep(_TICK_S)
            continue
        step = heapq.heappop(waiting)
        if not hands.ready_for(step.action):
            heapq.heappush(waiting, replace(step, at_s=now_s + _AGAIN_S))
            continue
        tell(step.action, min(1.0, now_s / until_s))
        target = hands.do(step.action, step.target)
        if (end := ENDS.get(step.action)) is not None:
            ends_s = time.monotonic() - begun + step.lasts_s
            heapq.heappush(waiting, Step(ends_s, end, target))

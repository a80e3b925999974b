"""The workers of a fault run: `hark worker` processes of one group, and what is done to them."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from ops.child_process import Child
from schemas.errors import TransientError
from streams.settings import Settings

_MOST_CRASHES = 50


@dataclass(slots=True)
class Member:
    """One place in the group and the process that holds it, if one does."""

    number: int
    folder: Path
    environment: dict[str, str]
    child: Child | None = None
    paused: bool = False


@dataclass(slots=True)
class Fleet:
    """Workers of one group.

    Attributes
    ----------
    members
        The first is behind the relay.
    counts
        `sigkills`, `sigstops`, `worker_restarts`, `leaves`, and `crashes` for workers that ended
        by themselves or with an error.
    reasons
        Why they did.
    """

    members: list[Member]
    counts: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def plan(cls, folder: Path, workers: int, settings: Settings, relayed: str) -> Fleet:
        """`workers` members, none running yet, the first with the brokers at `relayed`."""
        members = []
        for number in range(workers):
            place = folder / f"worker-{number}"
            place.mkdir(parents=True)
            variables = settings_as_variables(settings)
            if number == 0:
                variables["HARK_KAFKA__BOOTSTRAP_SERVERS"] = relayed
            members.append(Member(number, place, variables))
        return cls(members)

    def start(self, member: Member) -> None:
        """Start the member's process."""
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("HARK_")}
        member.child = Child(["worker"], member.folder, member.environment, inherited)
        member.paused = False

    def running(self, *, paused: bool = False) -> list[Member]:
        """Members with a process, stopped ones only if asked for."""
        return [m for m in self.members if m.child is not None and m.paused <= paused]

    def kill(self, member: Member) -> None:
        """SIGKILL, and a new process in its place."""
        self.end(member)
        self.counts["sigkills"] += 1
        self.start(member)

    def end(self, member: Member) -> None:
        """SIGKILL."""
        if member.child is not None:
            member.child.signal(signal.SIGKILL)
            member.child.stop()
            member.child = None

    def pause(self, member: Member) -> None:
        """SIGSTOP: it becomes a zombie of the group when its session ends."""
        assert member.child is not None
        member.child.signal(signal.SIGSTOP)
        member.paused = True
        self.counts["sigstops"] += 1

    def resume(self, member: Member) -> None:
        """SIGCONT."""
        if member.child is not None and member.paused:
            member.child.signal(signal.SIGCONT)
        member.paused = False

    def restart(self, member: Member) -> None:
        """SIGTERM, wait, and a new process in its place."""
        self.leave(member)
        self.counts["worker_restarts"] += 1
        self.start(member)

    def leave(self, member: Member) -> int:
        """SIGTERM and wait -> exit code."""
        assert member.child is not None
        self.resume(member)
        code = member.child.stop()
        if code not in (0, -signal.SIGTERM):  # the latter: it hadn't come as far as the group
            self.counts["crashes"] += 1
            self.reasons.append(f"on SIGTERM {code}: {_last_error(member.child)}")
        member.child = None
        return code

    def revive(self) -> None:
        """Start what ended by itself again, as a supervisor would.

        Raises
        ------
        TransientError
            They end again and again.
        """
        for member in self.running(paused=True):
            assert member.child is not None
            if member.child.code is None:
                continue
            self.counts["crashes"] += 1
            self.reasons.append(f"{member.child.code}: {_last_error(member.child)}")
            if self.counts["crashes"] > _MOST_CRASHES:
                raise TransientError(f"workers keep ending: {self.reasons[-1]}")
            self.start(member)

    def stop(self) -> None:
        """End all of them."""
        for member in self.members:
            self.end(member)

    def last_words(self) -> str:
        """The last line that each worker logged."""
        return "; ".join(m.child.tail(1) for m in self.members if m.child is not None)

    def told(self, event: str, *, saved: bool = False) -> int:
        """How often the workers logged `event`; `saved`: with a checkpoint behind it."""
        logs = [member.folder / "worker.log" for member in self.members]
        lines = [line for log in logs if log.exists() for line in log.open(errors="replace")]
        said = [line for line in lines if f'"event": "{event}"' in line]
        return sum('"saved": 0' not in line for line in said) if saved else len(said)


def settings_as_variables(settings: Settings) -> dict[str, str]:
    """What is set, section by section, as the environment variables that say the same."""
    given = settings.model_dump(mode="json", exclude_unset=False)
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    return {
        f"HARK_{section}__{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for section, values in given.items()
        if isinstance(default := defaults[section], BaseModel)
        for name, value in values.items()
        if value != default.model_dump(mode="json")[name]
    }


def _last_error(child: Child) -> str:
    lines = child.tail(60).splitlines()
    # What a process left open is told after why it ended.
    lines = [line for line in lines if "rror" in line and "Unclosed" not in line]
    return (lines or [child.tail(1)])[-1][:300]

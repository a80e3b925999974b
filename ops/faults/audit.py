"""The audit: what was acknowledged against what is in the topics, record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import xxhash

from ops.faults.evidence import Evidence


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The result; `acked` = `scored` + `dead_lettered` + `duplicates` + `lost`.

    Attributes
    ----------
    acked
        Records that the broker acknowledged to the producer.
    lost
        Of these: not in the log, not read by the group, or without an output that they lead to.
    scored, dead_lettered, duplicates
        The others.
    silent
        Of `scored`: events that lead to no output, as computed offline from the log.
    missing, unexpected
        Outputs computed offline from the log and not in the topics; the reverse.
    different
        Outputs with another content than computed, or whose copies differ.
    repeated
        Copies of outputs beyond the first: at least once, not exactly once.
    unrecognised
        Repeated records that weren't recognised as duplicates, computed offline.
    """

    acked: int
    lost: int
    scored: int
    dead_lettered: int
    duplicates: int
    silent: int
    missing: int
    unexpected: int
    different: int
    repeated: int
    unrecognised: int


def digest(value: bytes | None) -> int:
    """What a record is known by in the ledger and in the log."""
    return xxhash.xxh3_64_intdigest(value or b"")


class _Id(msgspec.Struct):
    id: str = msgspec.field(name="messageId")


_id_of = msgspec.json.Decoder(_Id).decode


@dataclass(slots=True)
class Audit:
    """Collects the two sides.

    Attributes
    ----------
    acked
        The ledger: acknowledged records by digest; a repeat is one more of the same.
    committed
        By partition, where the group goes on reading.
    """

    acked: Mapping[int, int]
    committed: Mapping[int, int]
    _log: Counter[int] = field(default_factory=Counter)
    _unread: set[int] = field(default_factory=set)
    _by_source: dict[str, int] = field(default_factory=dict)
    _expected: dict[str, Evidence] = field(default_factory=dict)
    _found: dict[str, int] = field(default_factory=dict)
    _copies: int = 0
    _differing: set[str] = field(default_factory=set)

    def see_event(self, partition: int, offset: int, value: bytes | None) -> None:
        """A record of the log of events."""
        known = digest(value)
        self._log[known] += 1
        if offset >= self.committed.get(partition, 0):
            self._unread.add(known)
        self._by_source[f"{partition}/{offset}"] = known
        with suppress(msgspec.DecodeError):  # malformed on purpose: found again by its place
            self._by_source.setdefault(_id_of(value or b"").id, known)

    def expect(self, one: Evidence) -> None:
        """An output that the log leads to."""
        self._expected[one.id] = one

    def see_output(self, one: Evidence) -> None:
        """An output that is in a topic."""
        if one.id in self._found:
            self._copies += 1
            if self._found[one.id] != one.content:
                self._differing.add(one.id)
        else:
            self._found[one.id] = one.content

    def account(self, recognised: int) -> Account:
        """The two sides compared; `recognised` duplicates of the log's repeats were computed."""
        missing = self._expected.keys() - self._found.keys()
        lost = {self._by_source[self._expected[name].source] for name in missing} | self._unread
        lost |= {known for known, times in self.acked.items() if self._log[known] < times}
        lost &= self.acked.keys()
        speaking = {self._by_source[one.source] for one in self._expected.values()}
        dead = {
            self._by_source[one.source]
            for name, one in self._expected.items()
            if name.startswith("dead-")
        }
        dead_lettered = len((dead & self.acked.keys()) - lost)
        duplicates = sum(self.acked.values()) - len(self.acked)
        different = self._differing | {
            name
            for name, one in self._expected.items()
            if name in self._found and self._found[name] != one.content
        }
        return Account(
            acked=sum(self.acked.values()),
            lost=len(lost),
            scored=len(self.acked) - len(lost) - dead_lettered,
            dead_lettered=dead_lettered,
            duplicates=duplicates,
            silent=len(self.acked.keys() - speaking - lost),
            missing=len(missing),
            unexpected=len(self._found.keys() - self._expected.keys()),
            different=len(different),
            repeated=self._copies,
            unrecognised=self._log.total() - len(self._log) - recognised,
        )

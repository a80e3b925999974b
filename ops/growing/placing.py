"""Where a record of `events` goes on a topic with another number of partitions."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from ops.publish.publisher import key_hash
from schemas.errors import ConfigError
from schemas.events.control import forgotten
from streams.kafka.log import Record

PARTITIONERS: Mapping[str, Callable[[bytes], int]] = {"murmur2": key_hash, "crc32": zlib.crc32}
"""A key's hash by the name of the clients' partitioner; the partition is the rest (see
docs/publish.md: the Java clients and KafkaJS use `murmur2`, librdkafka `crc32`)."""


class Placement:
    """Places records as the publishers' own clients will.

    Parameters
    ----------
    partitioner
        Of `PARTITIONERS`.
    before, after
        Numbers of partitions.
    """

    def __init__(self, partitioner: str, before: int, after: int) -> None:
        self._hash = PARTITIONERS[partitioner]
        self._before, self._after = before, after

    def of(self, key: bytes) -> int:
        """The new partition of a key."""
        return self._hash(key) % self._after

    def targets(self, record: Record) -> list[int]:
        """The new partitions of a record.

        A forget record lies in every partition. Its copies come from the partition of its user
        alone, so that none of them overtakes the user's events, and go to every new partition. A
        record without a key stays where it is: nothing else says which records it follows.
        """
        if not record.key:
            return [record.partition % self._after]
        if forgotten(record.value, record.headers) is not None:
            own = record.partition == self._hash(record.key) % self._before
            return list(range(self._after)) if own else []
        return [self.of(record.key)]


class Partitioners:
    """Finds out which partitioner placed the records of a topic.

    Parameters
    ----------
    partitions
        Number of the topic's partitions.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._seen = 0
        self._fits = dict.fromkeys(PARTITIONERS, 0)

    def see(self, record: Record) -> None:
        """Count a record with a key; forget records lie everywhere and don't count."""
        if record.key and forgotten(record.value, record.headers) is None:
            self._seen += 1
            for name, hashed in PARTITIONERS.items():
                self._fits[name] += hashed(record.key) % self._partitions == record.partition

    def found(self) -> str:
        """The partitioner that explains where all records lie; `murmur2` if several do.

        Raises
        ------
        ConfigError
            None of them does.
        """
        for name, fits in self._fits.items():
            if fits == self._seen:
                return name
        shares = ", ".join(f"{name} {n / self._seen:.0%}" for name, n in self._fits.items())
        raise ConfigError(
            f"of {self._seen} events no partitioner explains where all lie ({shares}): users may "
            "be split over partitions already; say with --partitioner how publishers place keys"
        )

"""Where copies go: as the publishers' own clients will place the key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ops.growing.placing import PARTITIONERS, Partitioners, Placement
from schemas.errors import ConfigError
from schemas.events.control import forget


@dataclass
class Lying:
    """A record and its partition."""

    partition: int
    key: bytes | None = b"u"
    value: bytes | None = b"{}"
    headers: Any = ()


def spread(name: str, partitions: int, users: int = 40) -> list[Any]:
    keys = [b"user-%d" % number for number in range(users)]
    return [Lying(PARTITIONERS[name](key) % partitions, key) for key in keys]


@pytest.mark.parametrize("name", list(PARTITIONERS))
def test_the_log_shows_how_publishers_place_keys(name: str) -> None:
    found = Partitioners(4)
    for record in spread(name, 4):
        found.see(record)
    key, value, headers = forget("user-3")
    for number in range(4):  # in every partition, whatever the key
        found.see(Lying(number, key, value, headers))  # type: ignore[arg-type]
    found.see(Lying(3, None))  # type: ignore[arg-type]
    assert found.found() == name


def test_a_log_that_several_placed_differently_is_refused_until_somebody_says_how() -> None:
    found = Partitioners(4)
    for record in spread("murmur2", 4, 300) + spread("crc32", 4, 300)[::3]:
        found.see(record)
    with pytest.raises(ConfigError, match=r"of 400 events .*murmur2 \d\d%, crc32 \d\d%.*--partit"):
        found.found()


@pytest.mark.parametrize(("name", "librdkafka"), [("murmur2", "murmur2_random"), ("crc32", None)])
def test_keys_go_where_the_clients_put_them(
    kafka_bootstrap: str, topic_prefix: str, name: str, librdkafka: str | None
) -> None:
    topic = f"{topic_prefix}events"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(topic, 7, 1)])[topic].result()
    chosen = {"partitioner": librdkafka} if librdkafka else {}
    producer = Producer({"bootstrap.servers": kafka_bootstrap, **chosen})
    found: dict[bytes, int] = {}
    keys = [b"user-%d" % number for number in range(30)]
    for key in keys:
        producer.produce(
            topic, b"{}", key, on_delivery=lambda _, m: found.update({m.key(): m.partition()})
        )
    producer.flush()
    place = Placement(name, 3, 7)
    assert found == {key: place.of(key) for key in keys}


def test_a_record_without_a_key_stays_where_it_is() -> None:
    place = Placement("murmur2", 3, 7)
    for key in (None, b""):
        assert place.targets(Lying(2, key)) == [2]  # type: ignore[arg-type]


def test_one_copy_of_a_forget_record_goes_everywhere() -> None:
    """Of the copies in all old partitions, only that of the user's own is in order."""
    place = Placement("murmur2", 3, 7)
    key, value, headers = forget("u-4711")
    told: Counter[int] = Counter()
    for number in range(3):
        told.update(place.targets(Lying(number, key, value, headers)))  # type: ignore[arg-type]
    assert told == dict.fromkeys(range(7), 1)
    own = PARTITIONERS["murmur2"](key) % 3
    assert place.targets(Lying(own, key, value, headers))  # type: ignore[arg-type]

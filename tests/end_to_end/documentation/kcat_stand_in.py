"""The part of kcat's command line that the documentation uses, on confluent-kafka.

Both are librdkafka underneath. Where kcat isn't installed, the documented topics, keys, offsets,
settings and formats are proved with this; that kcat takes the same options is what is left.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

STEPS_S = 0.5


def arguments(argv: list[str]) -> Namespace:
    parser = ArgumentParser(prog="kcat", allow_abbrev=False)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-P", action="store_true", help="publish lines of stdin")
    mode.add_argument("-C", action="store_true", help="read a topic")
    parser.add_argument("-b", required=True, help="bootstrap servers")
    parser.add_argument("-t", required=True, help="topic")
    parser.add_argument("-K", default=None, help="what parts key and value")
    parser.add_argument("-X", action="append", default=[], help="a setting: name=value")
    parser.add_argument("-o", default="beginning", help="beginning, end, or -N: the last N")
    parser.add_argument("-f", default="%s\\n", help="format: %%k the key, %%s the value")
    for flag, meaning in {"e": "stop at the end", "q": "quiet", "u": "unbuffered"}.items():
        parser.add_argument(f"-{flag}", action="store_true", help=meaning)
    return parser.parse_args(argv)


def publish(given: Namespace, settings: dict[str, str]) -> None:
    producer = Producer(settings)
    for line in sys.stdin:
        key, separator, value = line.rstrip("\n").partition(given.K) if given.K else ("", "", line)
        producer.produce(given.t, value=value, key=key if separator else None)
    if producer.flush(30):
        sys.exit("not confirmed")


def read(given: Namespace, settings: dict[str, str]) -> None:
    consumer = Consumer(
        settings | {"group.id": "kcat", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    numbers = consumer.list_topics(given.t, 10).topics[given.t].partitions
    consumer.assign([begin(consumer, given, number) for number in numbers])
    unread = set(numbers)
    while unread or not given.e:
        message = consumer.poll(STEPS_S)
        if message is None:
            continue
        if message.error() is None:
            sys.stdout.write(shown(given.f, message))
            sys.stdout.flush()
        elif message.error().code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        else:
            sys.exit(str(message.error()))
    consumer.close()


def begin(consumer: Consumer, given: Namespace, number: int) -> TopicPartition:
    """Where to begin in one partition."""
    partition = TopicPartition(given.t, number)
    first, end = consumer.get_watermark_offsets(partition, 10)
    offsets = {"beginning": first, "end": end}
    partition.offset = (
        offsets[given.o] if given.o in offsets else max(first, end + min(int(given.o), 0))
    )
    return partition


def shown(form: str, message: Message) -> str:
    text = form.replace("\\n", "\n").replace("%k", (message.key() or b"").decode())
    return text.replace("%s", (message.value() or b"").decode())


def main() -> None:
    given = arguments(sys.argv[1:])
    settings = dict(setting.split("=", 1) for setting in given.X) | {"bootstrap.servers": given.b}
    if given.P:
        publish(given, settings)
    else:
        read(given, settings)


if __name__ == "__main__":
    main()

"""`LocalKafka`: a broker's life, and what survives its death."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from ops.kafka_admin.topics import create_topics, find_differences
from ops.local_kafka.cluster import LocalKafka
from ops.local_kafka.ports import free_ports
from ops.local_kafka.process import is_running
from schemas.errors import TransientError
from schemas.topics import EVENTS
from tests.ops.local_kafka.listening import listening_on

pytestmark = pytest.mark.kafka


async def send(servers: str, value: bytes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", max_request_size=8 * 1024 * 1024
    ) as producer:
        await producer.send_and_wait("events", value, partition=0)


async def read(servers: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(
        "events", bootstrap_servers=servers, auto_offset_reset="earliest"
    ) as consumer:
        return [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(count)]


@pytest.mark.slow
async def test_records_survive_a_kill_and_a_stop(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as kafka:
        servers = kafka.bootstrap_servers
        await create_topics({"bootstrap_servers": servers}, [EVENTS], 1)
        await send(servers, b"before the kill")
        kafka.kill(0)
        assert not is_running(kafka.processes[0])
        kafka.restart(0)
        await send(servers, b"after it")
        assert kafka.bootstrap_servers == servers
    with LocalKafka(tmp_path) as kafka:
        assert await read(kafka.bootstrap_servers, 2) == [b"before the kill", b"after it"]


@pytest.mark.slow
async def test_three_brokers_take_a_maximum_event_with_one_of_them_dead(tmp_path: Path) -> None:
    with LocalKafka(tmp_path, brokers=3) as kafka:
        client = {"bootstrap_servers": kafka.bootstrap_servers}
        await create_topics(client, [EVENTS], 3)
        kafka.kill(2)
        big = bytes(7 * 1024 * 1024)
        await send(kafka.bootstrap_servers, big)
        assert await read(kafka.bootstrap_servers, 1) == [big]
        for _ in range(5):  # each time another broker may be asked
            assert await find_differences(client, [EVENTS]) == []


def test_a_broker_that_can_not_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    with (
        listening_on(kafka.nodes[0].port),
        pytest.raises(TransientError, match=r"Kafka broker 1 ended: .*Address already in use"),
    ):
        kafka.start()
    assert not kafka.processes
    assert kafka.nodes[0].log_file.exists()


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs Linux's setpriv")
def test_a_broker_ends_with_the_process_that_started_it_even_if_that_is_killed(
    tmp_path: Path,
) -> None:
    code = f"""
        import pathlib, time
        from ops.local_kafka.cluster import LocalKafka
        kafka = LocalKafka(pathlib.Path({str(tmp_path)!r}), port={free_ports(1)[0]})
        kafka.start()
        print(kafka.processes[0].pid, flush=True)
        time.sleep(60)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    end = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)

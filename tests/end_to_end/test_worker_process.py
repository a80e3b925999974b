"""A worker's life, seen from outside: poison, standing still, and stopping in time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.kafka_admin.topics import create_topics
from ops.local_kafka.ports import free_ports
from schemas.errors import HarkError
from streams.catalogue.catalogue import Catalogue
from streams.checkpoints.restore import committed_offsets
from streams.settings import State
from streams.worker import run
from tests.end_to_end.running import letters, publish, running, settings, until
from tests.end_to_end.worker import ROOT, RunningWorker
from tests.few_partitions import topics

EVENT = (
    b'{"messageId":"%s","userId":"%s","event":"Product Viewed","properties":{"product_id":"hat"}}'
)


@contextmanager
def broken_worker(
    folder: Path, bootstrap: str, prefix: str, **limits: str
) -> Iterator[RunningWorker]:
    port, log = free_ports(1)[0], folder / "worker.log"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HARK_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "HARK_KAFKA__TOPIC_PREFIX": prefix,
        "HARK_KAFKA__GROUP_ID": f"{prefix}hark",
        "HARK_KAFKA__DRAIN_TIMEOUT_S": "1",
        "HARK_HTTP__PORT": str(port),
        **{f"HARK_LIMITS__{name.upper()}": value for name, value in limits.items()},
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.broken_worker", "worker"],
            cwd=folder, env=environment, stdout=file, stderr=file,
        )  # fmt: skip
    found = RunningWorker(process, port, log)
    try:
        yield found
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def test_poison_is_refused_its_neighbours_go_on_and_a_restore_skips_it(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    events, group = f"{topic_prefix}events", f"{topic_prefix}hark"
    log = [EVENT % (b"m%d" % n, b"ann") for n in range(4)]
    log.insert(2, EVENT % (b"poison", b"bob"))

    async def all_committed() -> bool:
        return sum((await committed_offsets(client, group)).values()) == len(log)

    with broken_worker(tmp_path, kafka_bootstrap, topic_prefix) as worker:
        await asyncio.to_thread(worker.wait_until_ready)
        await publish(kafka_bootstrap, events, log)
        await until(all_committed, "all is committed")
        (letter,) = await letters(kafka_bootstrap, topic_prefix)
        assert (letter.reason, letter.offset, letter.value) == ("unprocessable", 2, log[2])
        assert letter.detail.startswith("ValueError at streams/scoring.py:")
        assert "record.refused" in worker.log()
        assert "secret" not in worker.log()
        worker.process.kill()
        worker.process.wait()

    # A version without the defect, which reads all of the log again.
    chosen = settings(kafka_bootstrap, topic_prefix, state=State(checkpoint_s=0))
    async with running(chosen) as healthy:
        await until(lambda: len(healthy.pipeline.states) == 4, "it has its partitions")
        assert healthy.pipeline.states[0].histories.known() == ["ann"]


async def test_a_batch_that_hangs_makes_it_ill_and_the_stop_is_cut_off(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    limits = {"stuck_s": "1.5", "stop_timeout_s": "4"}
    with broken_worker(tmp_path, kafka_bootstrap, topic_prefix, **limits) as worker:
        await asyncio.to_thread(worker.wait_until_ready)
        assert worker.get("/healthz") == (200, "ok\n")
        await publish(kafka_bootstrap, f"{topic_prefix}events", [EVENT % (b"hang", b"ann")])
        await until(lambda: worker.get("/healthz")[0] == 503, "it says that it is ill")
        said = worker.get("/healthz")[1]
        assert "partition 0 has been at offset 0" in said
        assert "a batch has been in scoring for" in said

        worker.process.send_signal(signal.SIGTERM)
        await until(lambda: worker.get("/readyz")[0] != 200, "it is not ready any more", 3)
        started = time.monotonic()
        assert await asyncio.to_thread(worker.process.wait, 30) == 1
        assert time.monotonic() - started < 20
        assert "still stopping after 4 s (a batch has been in scoring for" in worker.log()
    assert not sum((await committed_offsets(client, f"{topic_prefix}hark")).values())


async def test_a_follower_that_dies_stops_the_worker_with_one_line(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_: Catalogue) -> None:
        raise RuntimeError("the catalogue is gone")

    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    monkeypatch.setattr(Catalogue, "_follow", dies)
    with pytest.raises(HarkError, match="hark-catalogue ended: RuntimeError: the catalogue is"):
        await run(settings(kafka_bootstrap, topic_prefix))

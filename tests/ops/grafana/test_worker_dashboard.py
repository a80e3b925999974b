"""Every query of the dashboard, on what a real worker exposes, and on a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from ops.kafka_admin.topics import create_topics
from tests.end_to_end.worker import worker
from tests.few_partitions import topics
from tests.ops.grafana.test_dashboard import EXPRESSIONS, QUERIES, filled, finite
from tests.ops.prometheus.prometheus import needs_prometheus, prometheus
from tests.ops.prometheus.promql import Exposition
from tests.ops.prometheus.scenario import a_busy_trainer

pytestmark = pytest.mark.kafka


def events(bootstrap: str, topic: str, stop: Event) -> None:
    """A user views and buys, ten times a second, and something is broken in between."""
    producer = Producer({"bootstrap.servers": bootstrap})
    number = 0
    while not stop.wait(0.1):
        number += 1
        name = "Order Completed" if number % 5 == 0 else "Product Viewed"
        user = f"u-{number % 7}"
        event = {"messageId": f"m-{number}", "userId": user, "event": name,
                 "properties": {"product_id": f"sku-{number % 3}"}}  # fmt: skip
        producer.produce(topic, key=user, value=json.dumps(event))
        if number % 4 == 0:
            producer.produce(topic, key=user, value="broken")
        producer.flush()


@pytest.fixture(scope="module")
def ports(
    kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """A worker at work and a trainer: job name -> port."""
    folder = tmp_path_factory.mktemp("worker")
    prefix = f"dashboard-{uuid4().hex[:8]}."
    asyncio.run(create_topics({"bootstrap_servers": kafka_bootstrap}, topics(prefix), 1))
    stop = Event()
    feed = Thread(target=events, args=(kafka_bootstrap, f"{prefix}events", stop))
    with worker(folder, kafka_bootstrap, prefix) as running, a_busy_trainer() as trainer:
        running.wait_until_ready()
        feed.start()
        try:
            yield {"hark-worker": running.port, "hark-trainer": trainer}
        finally:
            stop.set()
            feed.join()
        assert running.stop() == 0, running.log()


@pytest.fixture(scope="module")
def exposed(ports: dict[str, int]) -> Exposition:
    """What both expose once the worker has answered a few batches."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = Exposition.of(ports)
        if not any(found.faults(filled(expr)) for expr in EXPRESSIONS):
            break
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("expr", QUERIES)
def test_every_query_of_the_dashboard_asks_for_series_that_exist(
    exposed: Exposition, expr: str
) -> None:
    assert exposed.faults(filled(expr)) == []


@needs_prometheus
def test_no_query_of_the_dashboard_comes_back_empty(ports: dict[str, int], tmp_path: Path) -> None:
    with prometheus(tmp_path, ports) as server:
        server.wait("count_over_time((hark_batches_total > 3)[10s:500ms]) >= 4")
        assert [expr for expr in EXPRESSIONS if not finite(server.query(filled(expr)))] == []

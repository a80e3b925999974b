"""Every query of the dashboard, on a real Prometheus that scrapes a real worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from math import isfinite
from threading import Event, Thread
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from ops.kafka_admin.topics import create_topics
from schemas.topics import topics
from tests.end_to_end.worker import worker
from tests.ops.grafana.test_dashboard import QUERIES, filled
from tests.ops.prometheus.prometheus import Prometheus, needs_prometheus, prometheus
from tests.ops.prometheus.scenario import a_busy_trainer

pytestmark = [pytest.mark.kafka, needs_prometheus]


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
def scraped(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("worker")
    prefix = f"view-{uuid4().hex[:8]}."
    asyncio.run(create_topics({"bootstrap_servers": kafka_bootstrap}, topics(prefix), 1))
    stop = Event()
    feed = Thread(target=events, args=(kafka_bootstrap, f"{prefix}events", stop))
    with (
        worker(folder, kafka_bootstrap, prefix) as running,
        a_busy_trainer() as trainer,
        prometheus(folder, {"hark-worker": running.port, "hark-trainer": trainer}) as server,
    ):
        running.wait_until_ready()
        feed.start()
        try:
            server.wait("count_over_time((hark_batches_total > 3)[10s:500ms]) >= 4")
            yield server
        finally:
            stop.set()
            feed.join()
        assert running.stop() == 0, running.log()


@pytest.mark.parametrize("expr", QUERIES)
def test_no_query_of_the_dashboard_comes_back_empty(scraped: Prometheus, expr: str) -> None:
    found = scraped.query(filled(expr))
    assert any(isfinite(float(series["value"][1])) for series in found)

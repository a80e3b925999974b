"""The dashboard is current, well-formed, and none of its queries comes back empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from threading import Event, Thread
from time import time
from typing import Any

import numpy as np
import pytest

from ops.grafana.dashboard import FILE, dashboard, text
from streams.monitoring.batch_counts import PartitionLag
from streams.monitoring.health import HealthServer
from streams.monitoring.metrics import Metrics
from tests.ops.prometheus.prometheus import Prometheus, needs_prometheus, prometheus
from tests.ops.prometheus.promql import Exposition
from tests.ops.prometheus.scenario import a_batch, a_busy_minute, a_busy_trainer

PANELS: list[dict[str, Any]] = [p for p in dashboard()["panels"] if p["type"] != "row"]
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


def filled(expr: str) -> str:
    """The query as Grafana sends it for all workers."""
    return expr.replace("$instance", ".+").replace("$__rate_interval", "10s")


def finite(found: list[dict[str, Any]]) -> bool:
    """Whether a Prometheus's answer has a number to draw."""
    return any(isfinite(float(series["value"][1])) for series in found)


@pytest.fixture(scope="module")
def busy_worker() -> Iterator[int]:
    """Metrics of a worker at work, served on the port given."""
    metrics = Metrics()
    a_busy_minute(metrics, time())
    server = HealthServer(metrics.registry, lambda: "")
    server.start()
    stop = Event()

    def work() -> None:
        rng = np.random.default_rng(1)
        offset = 0
        while not stop.wait(0.1):
            offset += 1_000
            a_batch(metrics, int(time() * 1000), rng)
            metrics.set_partitions({0: PartitionLag(12, 0.02, offset)})
            metrics.count_evicted({0: offset // 1_000})

    thread = Thread(target=work)
    thread.start()
    yield server.port
    stop.set()
    thread.join()
    server.stop()


@pytest.fixture(scope="module")
def ports(busy_worker: int) -> Iterator[dict[str, int]]:
    with a_busy_trainer() as trainer:
        yield {"hark-worker": busy_worker, "hark-trainer": trainer}


@pytest.fixture(scope="module")
def exposed(ports: dict[str, int]) -> Exposition:
    return Exposition.of(ports)


@pytest.fixture(scope="module")
def scraped(
    ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), ports) as server:
        server.wait("count_over_time(hark_batches_total[10s]) >= 3")
        server.wait("count_over_time(hark_trainer_runs_total[10s]) >= 3")
        yield server


@pytest.mark.parametrize("expr", QUERIES)
def test_every_query_of_the_dashboard_asks_for_series_that_exist(
    exposed: Exposition, expr: str
) -> None:
    assert exposed.faults(filled(expr)) == []


@needs_prometheus
def test_no_query_of_the_dashboard_comes_back_empty(scraped: Prometheus) -> None:
    assert [expr for expr in EXPRESSIONS if not finite(scraped.query(filled(expr)))] == []


def test_the_worker_list_of_the_dashboard_reads_a_label_that_exists(exposed: Exposition) -> None:
    assert exposed.faults("count by (instance) (hark_batches_total)") == []


@needs_prometheus
def test_the_worker_list_of_the_dashboard_is_filled(scraped: Prometheus) -> None:
    variable = dashboard()["templating"]["list"][1]["definition"]
    assert variable == "label_values(hark_batches_total, instance)"
    found = scraped.get("label/instance/values", **{"match[]": "hark_batches_total"})
    assert len(found) == 1


@needs_prometheus
def test_prometheus_and_the_worker_reckon_the_same_quantile(scraped: Prometheus) -> None:
    expr = 'histogram_quantile(0.99, hark_latency_seconds_bucket{since="broker"})'
    ((p99,),) = [[float(series["value"][1]) for series in scraped.query(expr)]]
    assert 0.05 < p99 < 0.07  # the scenario's latencies are uniform in 2-60 ms


def test_the_file_is_what_the_table_of_panels_makes() -> None:
    assert FILE.read_text() == text(), "run: python -m ops.grafana.dashboard"


def test_panels_fill_the_grid_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])
        }  # fmt: skip
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_panel_says_what_it_means_and_in_which_unit() -> None:
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_the_provisioned_data_source_scrapes_as_often_as_prometheus() -> None:
    source = Path("ops/grafana/provisioning/datasources/prometheus.yml").read_text()
    config = Path("ops/prometheus/prometheus.yml").read_text()
    assert "timeInterval: 5s" in source
    assert "scrape_interval: 5s" in config


def test_the_dashboard_is_plain_json_that_grafana_imports() -> None:
    stored = json.loads(FILE.read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= stored.keys()
    assert "id" not in stored  # Grafana gives it; one of ours might clash

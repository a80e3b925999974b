"""The alerting rules parse, use metrics that exist, and fire when they should."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import sleep, time
from typing import Any

import pytest
import yaml

from streams.monitoring.health import HealthServer
from streams.monitoring.metrics import Metrics
from tests.ops.prometheus.prometheus import RULES, Prometheus, needs_prometheus, prometheus
from tests.ops.prometheus.promql import Exposition
from tests.ops.prometheus.scenario import a_busy_minute, a_busy_trainer

RULE_LIST: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    metrics = Metrics()
    a_busy_minute(metrics, time())
    server = HealthServer(metrics.registry, lambda: "")
    server.start()
    with a_busy_trainer() as trainer:
        yield {"hark-worker": server.port, "hark-trainer": trainer}
    server.stop()


@pytest.fixture(scope="module")
def exposed(ports: dict[str, int]) -> Exposition:
    return Exposition.of(ports)


@pytest.fixture(scope="module")
def scraped(
    ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("rules"), ports) as running:
        running.wait("hark_batches_total")
        running.wait("hark_trainer_runs_total")
        yield running


def rules(server: Prometheus) -> list[dict[str, Any]]:
    """The rules once each was evaluated."""
    server.wait("count_over_time(up[10s]) >= 3")
    return [rule for group in server.get("rules")["groups"] for rule in group["rules"]]


@needs_prometheus
def test_prometheus_evaluates_every_rule(scraped: Prometheus) -> None:
    found = rules(scraped)
    assert len(found) == len(RULE_LIST)
    assert {rule["health"] for rule in found} == {"ok"}


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule["alert"])
def test_every_rule_asks_for_series_that_exist(exposed: Exposition, rule: dict[str, Any]) -> None:
    assert exposed.faults(rule["expr"]) == []


@needs_prometheus
def test_a_healthy_worker_raises_nothing(scraped: Prometheus) -> None:
    for _ in range(60):  # until the rule is evaluated
        states = {rule["name"]: rule["state"] for rule in rules(scraped)}
        if states["HarkNotCommitting"] != "inactive":
            break
        sleep(0.5)
    # The scenario's offsets stand still with records waiting: that one is pending, rightly.
    assert states.pop("HarkNotCommitting") == "pending"
    assert set(states.values()) == {"inactive"}


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule["alert"])
def test_every_rule_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "what_to_do"} <= rule["annotations"].keys()


@needs_prometheus
def test_rules_fire_in_their_situations_and_only_there() -> None:
    tests = sorted(Path(__file__).parent.glob("rules*_test.yml"))
    done = subprocess.run(
        ["promtool", "test", "rules", *tests], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_the_configuration_of_docker_compose_is_valid(tmp_path: Path) -> None:
    config = Path("ops/prometheus/prometheus.yml").read_text()
    local = tmp_path / "prometheus.yml"
    local.write_text(config.replace("/etc/prometheus/rules.yml", str(RULES)))
    done = subprocess.run(
        ["promtool", "check", "config", local], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

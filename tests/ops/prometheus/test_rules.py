"""The alerting rules parse, use metrics that exist, and fire when they should."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from streams.monitoring.health import HealthServer
from streams.monitoring.metrics import Metrics
from tests.ops.prometheus.prometheus import RULES, Prometheus, needs_prometheus, prometheus
from tests.ops.prometheus.scenario import a_busy_minute, a_busy_trainer

pytestmark = needs_prometheus


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    metrics = Metrics()
    a_busy_minute(metrics, time())
    server = HealthServer(metrics.registry, lambda: "")
    server.start()
    with a_busy_trainer() as trainer:
        ports = {"hark-worker": server.port, "hark-trainer": trainer}
        with prometheus(tmp_path_factory.mktemp("rules"), ports) as running:
            running.wait("hark_batches_total")
            running.wait("hark_trainer_runs_total")
            yield running
    server.stop()


def rules(server: Prometheus) -> list[dict[str, Any]]:
    """The rules once each was evaluated."""
    server.wait("count_over_time(up[10s]) >= 3")
    return [rule for group in server.get("rules")["groups"] for rule in group["rules"]]


def test_prometheus_evaluates_every_rule(scraped: Prometheus) -> None:
    found = rules(scraped)
    assert len(found) == RULES.read_text().count("- alert:")
    assert {rule["health"] for rule in found} == {"ok"}


def test_every_metric_of_a_rule_is_one_a_worker_has(scraped: Prometheus) -> None:
    known = set(scraped.get("label/__name__/values"))
    for rule in rules(scraped):
        named = set(re.findall(r"\b(?:hark_\w+|up)\b", rule["query"])) - {"hark_worker"}
        assert named, rule["name"]
        assert named <= known, rule["name"]


def test_a_healthy_worker_raises_nothing(scraped: Prometheus) -> None:
    states = {rule["name"]: rule["state"] for rule in rules(scraped)}
    # The scenario's offsets stand still with records waiting: that one is pending, rightly.
    assert states.pop("HarkNotCommitting") == "pending"
    assert set(states.values()) == {"inactive"}


def test_every_rule_says_what_happened_and_what_to_do(scraped: Prometheus) -> None:
    for rule in rules(scraped):
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert {"summary", "what_to_do"} <= rule["annotations"].keys()


def test_rules_fire_in_their_situations_and_only_there() -> None:
    tests = sorted(Path(__file__).parent.glob("rules*_test.yml"))
    done = subprocess.run(
        ["promtool", "test", "rules", *tests], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_of_docker_compose_is_valid(tmp_path: Path) -> None:
    config = Path("ops/prometheus/prometheus.yml").read_text()
    local = tmp_path / "prometheus.yml"
    local.write_text(config.replace("/etc/prometheus/rules.yml", str(RULES)))
    done = subprocess.run(
        ["promtool", "check", "config", local], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

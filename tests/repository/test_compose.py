"""docker-compose.yml and Dockerfile, checked against what is really there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ops.cli import hark
from streams.settings import Http, Limits, load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "hark" in service["image"]}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists_with_its_options(name: str) -> None:
    result = CliRunner().invoke(hark, [*OURS[name]["command"], "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = OURS[name]["environment"] | dict(re.findall(r"(HARK_\w+)=(\S+)", DOCKERFILE))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.http.host == "0.0.0.0"  # noqa: S104 - inside the container only
    assert str(settings.model.registry).startswith("/var/lib/hark")


def test_every_port_is_this_machines_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for variable in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|TOKEN", variable), variable


def test_every_file_that_is_mounted_exists() -> None:
    mounts = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert len(files) == 3
    assert all((ROOT / file).exists() for file in files)
    assert {m for m in mounts if not m.startswith("./")} == COMPOSE["volumes"].keys()


def test_every_service_can_say_whether_it_is_well() -> None:
    """By the compose file, or by the image for what is made from it."""
    assert "HEALTHCHECK" in DOCKERFILE.split("AS worker")[1]
    for name, service in SERVICES.items():
        assert "healthcheck" in service or name in {"worker", "trainer"}, name


def test_kafka_is_the_version_that_tests_run_on() -> None:
    jars = (ROOT / "ops/local_kafka/resources/kafka_jars.txt").read_text()
    version = SERVICES["kafka"]["image"].split(":")[1]
    assert f"org.apache.kafka:kafka_2.13:{version}" in jars.replace(" ", "")


def test_a_worker_has_time_to_stop() -> None:
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > Limits().stop_timeout_s


def test_prometheus_scrapes_services_that_exist_on_the_worker_s_port() -> None:
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    found = [sd for job in config["scrape_configs"] for sd in job.get("dns_sd_configs", [])]
    assert {name for sd in found for name in sd["names"]} <= SERVICES.keys()
    assert {sd["port"] for sd in found} == {Http().port}
    assert f"EXPOSE {Http().port}" in DOCKERFILE


def test_grafana_finds_its_dashboards_and_its_data() -> None:
    provisioning = ROOT / "ops/grafana/provisioning"
    dashboards = yaml.safe_load((provisioning / "dashboards/hark.yml").read_text())
    folder = dashboards["providers"][0]["options"]["path"]
    mounted = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert folder in mounted
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_the_dockerfile_copies_what_exists_and_the_build_sends_nothing_else() -> None:
    copied = [
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ")
        for word in shlex.split(line)[1:-1]
    ]
    sent = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / word).exists() for word in copied)


def test_neither_image_runs_as_root() -> None:
    _, _base, *images = DOCKERFILE.split("\nFROM ")
    assert len(images) == 2
    for image in images:
        assert "USER hark" in image

"""Kafka's jars: only the reviewed ones, never half of one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ops.local_kafka.jars import Jar, cached_jars, listed
from schemas.errors import ConfigError, TransientError

CONTENT = b"not really a jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    file = tmp_path / JAR.path
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy at a port where nobody listens: every connection fails as it does without a network.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_the_list_names_kafka_4_3_1_whole() -> None:
    jars = listed()
    kafka = {jar.artifact for jar in jars if jar.group == "org.apache.kafka"}
    assert len(jars) == 92
    assert len({jar.path for jar in jars}) == 92
    assert {"kafka_2.13", "kafka-clients", "kafka-tools", "kafka-storage"} <= kafka
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.3.1"}
    assert all(len(jar.sha256) == 64 for jar in jars)


@pytest.mark.usefixtures("offline")
def test_cached_jars_need_no_network(cache: Path) -> None:
    assert cached_jars([JAR], cache) == [cache / JAR.path]


def test_a_changed_jar_is_refused_and_left_for_inspection(cache: Path) -> None:
    (cache / JAR.path).write_bytes(CONTENT + b"!")
    with pytest.raises(ConfigError, match=r"thing-1\.0\.jar is not the reviewed thing 1\.0"):
        cached_jars([JAR], cache)
    assert (cache / JAR.path).exists()


@pytest.mark.usefixtures("offline")
def test_offline_the_error_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        cached_jars([JAR], tmp_path)
    text = str(caught.value)
    assert "1 missing" in text
    assert "HARK_KAFKA__BOOTSTRAP_SERVERS" in text
    assert "\n" not in text
    assert [*tmp_path.rglob("*.jar")] == []
    assert [*tmp_path.glob(".download-*")] == []

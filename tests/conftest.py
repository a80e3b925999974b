"""What all tests share: a real broker, and names of their own on it."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from ops.local_kafka.cluster import LocalKafka
from ops.local_kafka.state import cache_dir

# Said to the tests, not to Hark.
NOT_SETTINGS = {"HARK_TEST_BOOTSTRAP", "HARK_TEST_EXAMPLES", "HARK_DATA"}

_numbers = itertools.count()
settings.register_profile(
    "hark", deadline=None
)  # how long an example takes is the machine's matter
settings.load_profile("hark")


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real broker: `HARK_TEST_BOOTSTRAP`'s, or one started here."""
    given = os.environ.get("HARK_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a maker of topic and group names that no other test and no earlier run has used."""
    token = uuid.uuid4().hex[:8]

    def make(stem: str = request.node.originalname or "test") -> str:
        return f"{stem[:60]}-{token}-{next(_numbers)}"

    return make


@pytest.fixture
def topic_prefix(unique_name: Callable[[str], str]) -> str:
    """Prefix for `settings.kafka.topic_prefix`, so that a test has topics of its own."""
    return unique_name("t") + "."


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the developer's settings and local broker; only the jars are shared."""
    shared = cache_dir()
    shared.mkdir(parents=True, exist_ok=True)
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(shared)
    for name in os.environ.keys() - NOT_SETTINGS:
        if name.startswith("HARK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HARK_HOME", str(home))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for the broker, so that `-m "not kafka"` is always right."""
    for item in items:
        if "kafka_bootstrap" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


_started_s = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how long it took, what was left out, and how to get it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in skipped
        if isinstance(report.longrepr, tuple)
    )
    left_out = [f"{count} ({reason})" for reason, count in reasons.most_common()]
    if terminalreporter.config.option.markexpr == "not slow":
        left_out.append(
            "the long forms and three quarters of the property tests' examples (make test-slow)"
        )
    minutes, seconds = divmod(round(time.monotonic() - _started_s), 60)
    terminalreporter.write_line(
        f"took {minutes} min {seconds} s; left out: {'; '.join(left_out) or 'nothing'}"
    )

"""A real broker that wants TLS, a login and rights, once for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local_kafka.access import Access
from ops.local_kafka.cluster import LocalKafka
from tests.security.roles import Roles


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The broker; `access` has what each role logs in with."""
    folder = tmp_path_factory.mktemp("secured")
    with LocalKafka(folder / "data", access=Access(folder / "access")) as kafka:
        yield kafka


@pytest.fixture
def access(secured: LocalKafka) -> Access:
    assert secured.access is not None
    return secured.access


@pytest.fixture
async def roles(access: Access, topic_prefix: str) -> Roles:
    """Topics of this test's own, and each role's rights to them."""
    found = Roles(access, topic_prefix)
    await found.set_up()
    return found


@pytest.fixture
def stranger(tmp_path: Path) -> Access:
    """An access folder of another authority."""
    found = Access(tmp_path / "stranger")
    found.create()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for this broker, as the shared one's."""
    for item in items:
        if "secured" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)

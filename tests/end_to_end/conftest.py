"""A reader of the documentation, with topics of their own on the real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ops.kafka_admin.topics import create_topics
from tests.end_to_end.documentation.snippets import Reader, kafkajs
from tests.few_partitions import topics


@pytest.fixture(scope="session")
def node_path(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return kafkajs(tmp_path_factory.mktemp("node"))


@pytest.fixture
def reader(kafka_bootstrap: str, topic_prefix: str, node_path: Path | None) -> Reader:
    return make_reader(kafka_bootstrap, topic_prefix, node_path)


def make_reader(bootstrap: str, prefix: str, node_path: Path | None) -> Reader:
    """A reader whose topics exist."""
    asyncio.run(create_topics({"bootstrap_servers": bootstrap}, topics(prefix), 1))
    return Reader(bootstrap, prefix, node_path)

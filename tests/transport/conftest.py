from __future__ import annotations

import os

import pytest

from tests.transport.cluster import Cluster


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    return os.environ.get("HARK_TEST_BOOTSTRAP", "127.0.0.1:19092")


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Cluster:
    return Cluster(kafka_bootstrap)

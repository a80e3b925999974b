"""Topics and groups of one test on the shared broker."""

from __future__ import annotations

import pytest

from tests.streams.transport.cluster import Cluster


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Cluster:
    return Cluster(kafka_bootstrap)

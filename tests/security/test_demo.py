"""The whole demo on a secured cluster: each part logs in as its own role's user."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.kafka_admin.acls import Binding, held
from ops.local_kafka.access import Access
from streams.kafka.connect import reached
from streams.kafka.settings import Kafka

pytest.importorskip("torch", reason="the demo trains: pip install 'hark[train]'")

ROOT = Path(__file__).parents[2]
EVENTS = 2_000


@pytest.mark.slow
def test_the_whole_path_with_every_part_its_own_user(access: Access, tmp_path: Path) -> None:
    before = asyncio.run(rights_now(access))
    file = tmp_path / "summary.json"
    command = [sys.executable, "-m", "ops.cli", "demo", "--access", str(access.folder)]
    options = ["--events", str(EVENTS), "--live-seconds", "5", "--summary", str(file)]
    done = subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(file.read_text())
    assert summary["sent"] == EVENTS
    assert summary["ingested"] + summary["dead_letters"] + summary["duplicates"] == EVENTS
    assert summary["recommendations"] > 0
    for password in access.passwords().values():
        assert password not in done.stdout + done.stderr
    after = asyncio.run(rights_now(access))
    assert after == before, "the rights to its topics go with them"


def test_a_cluster_that_is_set_has_to_say_who_is_who(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "demo", "--secure"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HARK_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs --access FOLDER" in done.stderr


async def rights_now(access: Access) -> set[Binding]:
    async with reached(Kafka.model_validate(access.settings("admin")).client()) as client:
        return await held(client)

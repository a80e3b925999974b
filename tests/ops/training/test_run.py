"""`hark train --as-of`: once per date, one at a time, and whole or not at all, killed or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.registry import aliases, registry
from models.storage import artefact, lock
from ops.archive.files import PartitionArchive, Span, partitions
from ops.training.train_command import train
from schemas.errors import HarkError
from tests.ops.training.shop_log import archive_shop

ROOT = Path(__file__).parents[3]
STAGES = ("rerun", "train", "store", "gate", "promote")


@dataclass(frozen=True)
class Night:
    """A registry and an archive of the same log."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "registry"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def start(self, *more: str) -> subprocess.Popen[str]:
        arguments = ["--archive", "archive", "--registry", "registry", "--offline", "--json"]
        return subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "train", *arguments, "--epochs", "1", *more],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(self, *more: str) -> dict[str, Any]:
        process = self.start(*more)
        said, complaints = process.communicate(timeout=300)
        assert process.returncode == 0, complaints
        found: dict[str, Any] = json.loads(said)
        return found

    def refusal(self, *more: str) -> str:
        """The one line that ends a run in this process."""
        arguments = ["--archive", str(self.archive), "--registry", str(self.root), "--offline"]
        done = CliRunner().invoke(train, [*arguments, "--json", *more])
        assert isinstance(done.exception, HarkError), done.output
        line = str(done.exception)
        assert "\n" not in line
        return line

    def kill_in(self, stage: str, *more: str) -> None:
        """SIGKILL as soon as the stage begins."""
        process = self.start(*more)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(stage):
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"it ended before {stage}"

    def check(self) -> None:
        """Every version that can be seen is whole, and every alias has its version."""
        for version in registry.versions(self.root):
            artefact.read_files(self.root / version, artefact.read_manifest(self.root / version))
        for version in aliases.named(self.root).values():
            assert version in registry.versions(self.root)


def night(folder: Path) -> Night:
    made = Night(folder)
    archive_shop(made.archive, events=3_000)
    return made


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two dates in the log: three quarters in, and later than all of it."""
    made = night(tmp_path_factory.mktemp("dates"))
    times = [
        datetime.fromisoformat(json.loads(value)["timestamp"])
        for part in partitions(made.archive, "events")
        for batch in part.read()
        for value in batch.values
        if value is not None
    ]
    times.sort()
    early = times[3 * len(times) // 4].astimezone(UTC)
    return f"{early:%Y-%m-%d}", f"{times[-1].astimezone(UTC):%Y-%m-%dT23:59}"


def append_a_copy(archive: Path) -> None:
    """More records at the log's end, of events before either date."""
    part = partitions(archive, "events")[0]
    batch = next(iter(part.read(200)))
    end = max(span.next for span in part.spans())
    moved = type(batch)(
        batch.topic, batch.partition, end, end + len(batch) - 1,
        list(range(end, end + len(batch))), batch.timestamps, batch.keys,
        [(value or b"").replace(b'"messageId":"', b'"messageId":"x') for value in batch.values],
        batch.headers,
    )  # fmt: skip
    PartitionArchive(archive, part.topic, part.partition).write(
        Span(end, end + len(batch)), [moved]
    )


@pytest.mark.slow
def test_killed_in_any_stage_it_comes_to_the_same_in_the_end(
    tmp_path: Path, dates: tuple[str, str]
) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "wild").mkdir()
    calm, wild = night(tmp_path / "calm"), night(tmp_path / "wild")
    early, late = dates
    first = calm.run("--as-of", early)
    assert first["promoted"] == (aliases.resolve(calm.root, "champion") == first["version"])

    for stage in STAGES:
        wild.kill_in(stage, "--as-of", early)
        wild.check()
        if stage == "rerun":
            append_a_copy(wild.archive)  # the log goes on while nobody trains
    found = wild.run("--as-of", early)
    assert not found["already"]
    for same in ("version", "promoted", "champion_before", "events"):
        assert found[same] == first[same], same
    assert aliases.named(wild.root) == aliases.named(calm.root)
    assert registry.versions(wild.root) == registry.versions(calm.root)
    assert not [path for path in wild.root.iterdir() if path.name.endswith(artefact.PARTIAL)]

    again = wild.run("--as-of", early)
    assert again["already"]
    assert again["version"] == first["version"]
    assert registry.versions(wild.root) == [first["version"]]

    manifest = artefact.read_manifest(calm.root / first["version"])
    limit = datetime.fromisoformat(f"{early}T00:00+00:00").timestamp()
    assert manifest["data"]["log_end_s"] < limit
    aliases.promote(calm.root, first["version"])
    later = calm.run("--as-of", late)
    assert later["version"] != first["version"]
    assert later["events"] > first["events"]
    assert later["champion_before"] == first["version"]
    start = artefact.read_manifest(calm.root / later["version"])["warm_start"]
    assert start["version"] == first["version"], "it goes on from the champion"
    assert start["known_items"] > 40


def test_two_at_once_are_one_and_a_line_that_says_who(tmp_path: Path) -> None:
    made = Night(tmp_path)
    made.root.mkdir()
    with lock.held(made.root / registry.TRAINING_LOCK, "process 7 on elsewhere"):
        assert "held by process 7 on elsewhere" in made.refusal("--as-of", "2026-01-01")
    left = made.refusal("--as-of", "2026-01-01")
    assert "no events of topic events" in left, "the lock went with its holder"


def test_a_date_before_the_log_is_one_line(tmp_path: Path) -> None:
    assert "no event that counts" in night(tmp_path).refusal("--as-of", "1999-01-01")

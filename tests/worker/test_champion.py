"""The follower of the champion alias: good versions take over, bad ones are refused once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from models import aliases, artefact, export
from models.registry import Model
from schemas.codec import EventDecoder
from streams.champion import Champion
from streams.items import ItemTable
from streams.metrics import Metrics
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from tests.models import world
from tests.models.versions import store, version_files

ITEMS = [f"item-{i}" for i in range(30)]
HEADS = {"churn": {"shipped": True}, "risk": {"shipped": False}}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return version_files(ITEMS)


@dataclass
class Follower:
    """A real follower with a real scorer behind it, polling fast."""

    root: Path
    metrics: Metrics = field(default_factory=Metrics)
    swaps: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        settings = Settings()
        decoder = EventDecoder(settings.product_contract())
        scorer = Scorer(Plan.from_settings(settings), decoder, ItemTable(), self.metrics)

        async def swap(model: Model) -> None:
            scorer.use(model)
            self.swaps.append(model.version)

        champion = Champion(self.root, "champion", swap, self.metrics, poll_s=0.02)
        await champion.start()
        try:
            yield
        finally:
            await champion.stop()

    @property
    def refused(self) -> float:
        return self.metrics.registry.get_sample_value("hark_refused_models_total") or 0.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is a metric or a list
            await asyncio.sleep(0.02)


def point(root: Path, alias: str, text: str) -> None:
    """As a broken deployment would: whatever it is, it is called champion now."""
    artefact.replace_durably(root / alias, text.encode())


def corrupt(root: Path, files: dict[str, bytes]) -> str:
    version = store(root, files, seed="bad", heads=HEADS)
    data = bytearray((root / version / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (root / version / "model.onnx").write_bytes(data)
    return version


def truncated(root: Path, files: dict[str, bytes]) -> str:
    version = store(root, files, seed="bad", heads=HEADS)
    (root / version / "item_table.npy").write_bytes(files["item_table.npy"][:-4])
    return version


def of_another_feature_set(root: Path, files: dict[str, bytes]) -> str:
    return artefact.write(root, files, {"feature_set_hash": "0" * 64, "heads": HEADS})


def of_other_answers(root: Path, files: dict[str, bytes]) -> str:
    table, _ = world.catalogue(len(ITEMS))
    graph = export.to_onnx(world.network(seed=9), table)
    return store(root, files | {"model.onnx": graph}, heads=HEADS)


def not_a_graph(root: Path, files: dict[str, bytes]) -> str:
    return store(root, files | {"model.onnx": b"nonsense"}, heads=HEADS)


def without_a_manifest(root: Path, files: dict[str, bytes]) -> str:
    version = store(root, files, seed="bad", heads=HEADS)
    (root / version / artefact.MANIFEST).unlink()
    return version


def that_is_gone(root: Path, files: dict[str, bytes]) -> str:
    version = store(root, files, seed="bad", heads=HEADS)
    shutil.rmtree(root / version)
    return version


def that_is_a_path(root: Path, files: dict[str, bytes]) -> str:
    return "../../etc/passwd"


BAD = {
    corrupt: "corrupt or truncated",
    truncated: "corrupt or truncated",
    of_another_feature_set: "feature set 000000000000",
    of_other_answers: "disagrees with its golden outputs",
    not_a_graph: "ONNX Runtime refuses",
    without_a_manifest: "can't be read",
    that_is_gone: "no model",
    that_is_a_path: "doesn't hold a version",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
async def test_a_bad_version_is_refused_once_and_the_one_before_answers_on(
    tmp_path: Path, files: dict[str, bytes], make: Callable[[Path, dict[str, bytes]], str]
) -> None:
    one, two = (store(tmp_path, files, seed=seed, heads=HEADS) for seed in (1, 2))
    aliases.promote(tmp_path, one)
    follower = Follower(tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with follower.following():
            await until(lambda: follower.swaps == [one])
            point(tmp_path, "champion", make(tmp_path, files))
            await until(lambda: follower.refused == 1)
            await asyncio.sleep(0.3)  # many polls: it is said once
            assert follower.refused == 1
            assert follower.swaps == [one]
            point(tmp_path, "champion", two)
            await until(lambda: follower.swaps == [one, two])
    said = [line for line in logs if line["event"] == "model.refused"]
    assert len(said) == 1
    assert BAD[make] in said[0]["why"]
    assert said[0]["answers"] == one


async def test_a_version_that_was_copied_late_is_taken_when_it_is_whole(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    version = store(tmp_path, files, seed=1, heads=HEADS)
    whole = (tmp_path / version / "model.onnx").read_bytes()
    (tmp_path / version / "model.onnx").write_bytes(whole[:1000])
    point(tmp_path, "champion", version)
    follower = Follower(tmp_path)
    async with follower.following():
        await until(lambda: follower.refused == 1)
        assert follower.swaps == []
        (tmp_path / version / "model.onnx").write_bytes(whole)
        await until(lambda: follower.swaps == [version])


async def test_a_worker_that_starts_on_a_bad_champion_answers_with_the_one_before(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    one, two = (store(tmp_path, files, seed=seed, heads=HEADS) for seed in (1, 2))
    aliases.promote(tmp_path, one)
    aliases.promote(tmp_path, two)
    (tmp_path / two / "ranker.json").write_bytes(b"")
    follower = Follower(tmp_path)
    async with follower.following():
        assert follower.swaps == [one]
        await asyncio.sleep(0.2)
        assert follower.refused == 1


async def test_a_model_that_the_worker_cannot_use_leaves_the_one_before_whole(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    """What only the swap itself finds out: here, quantiles that are no numbers."""
    one = store(tmp_path, files, seed=1, heads=HEADS)
    bad = store(tmp_path, files, heads={"churn": {"shipped": True, "quantiles": {"0.99": "x"}}})
    aliases.promote(tmp_path, one)
    follower = Follower(tmp_path)
    async with follower.following():
        point(tmp_path, "champion", bad)
        await until(lambda: follower.refused == 1)
        assert follower.swaps == [one]

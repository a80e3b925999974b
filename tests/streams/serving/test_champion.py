"""The follower of the champion alias: good versions take over, bad ones are refused once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import structlog

from models.engines.choice import EngineFactory, open_onnx
from models.network import export
from models.registry import aliases
from models.registry.registry import Model
from models.storage import artefact
from schemas.events.codec import EventDecoder
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.recommendations.sent_lists import COUNTERS
from streams.scoring import Scorer
from streams.serving.champion import MOST_WAIT_S, Champion
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
    engine: EngineFactory | None = None

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        settings = Settings()
        decoder = EventDecoder(settings.product_contract())
        self.scorer = Scorer(Plan.from_settings(settings), decoder, ItemTable(), self.metrics)

        async def swap(model: Model) -> None:
            self.scorer.use(model)
            self.swaps.append(model.version)

        champion = Champion(
            self.root, "champion", swap, lambda: self.scorer.model_version, self.metrics,
            poll_s=0.02,
        )  # fmt: skip
        if self.engine is not None:
            champion._engine = self.engine
        await champion.start()
        try:
            yield
        finally:
            await champion.stop()

    def fail(self) -> None:
        """What an engine error on a batch does."""
        self.scorer.use(None)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def refused(self) -> float:
        return self.value("hark_refused_models_total")


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


async def test_a_model_whose_engine_failed_answers_again(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    version = store(tmp_path, files, seed=1, heads=HEADS)
    aliases.promote(tmp_path, version)
    follower = Follower(tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with follower.following():
            for times in (1, 2):
                follower.fail()
                assert follower.scorer.model_version == COUNTERS
                await until(lambda: follower.scorer.model_version == version)
                assert follower.value("hark_failed_models_total") == times
    assert follower.swaps == [version] * 3
    assert follower.refused == 0
    retries = [line for line in logs if line["event"] == "model.retry"]
    assert [(line["version"], line["failures"]) for line in retries] == [(version, 1), (version, 2)]
    assert retries[1]["in_s"] == pytest.approx(2 * retries[0]["in_s"], rel=0.5), "later each time"


async def test_a_failed_model_is_not_shown_as_the_one_that_answers(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases.promote(tmp_path, store(tmp_path, files, seed=1, heads=HEADS))
    follower = Follower(tmp_path)
    async with follower.following():
        follower.metrics.set_model(follower.swaps[0], "onnx", loaded_at_s=1, trained_at_s=1)
        monkeypatch.setattr("streams.serving.champion._now_s", lambda: 0.0)  # no wait ever ends
        follower.fail()
        await until(lambda: follower.value("hark_model_info", version=COUNTERS, engine="none") == 1)
        assert follower.value("hark_model_trained_timestamp_seconds") == 0


class Failing:
    """ONNX Runtime under another name, as TensorRT would be."""

    def __init__(self, *catalogue: Any) -> None:
        self._engine = open_onnx(*catalogue)
        self.backend, self.tolerance = "tensorrt", self._engine.tolerance
        self.score = self._engine.score


async def test_an_engine_that_fails_three_times_gives_way_to_onnx_runtime(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    version = store(tmp_path, files, seed=1, heads=HEADS)
    aliases.promote(tmp_path, version)
    follower = Follower(tmp_path, engine=Failing)
    with structlog.testing.capture_logs() as logs:
        async with follower.following():
            for _ in range(3):
                follower.fail()
                await until(lambda: follower.scorer.model_version == version)
    loaded = [line["engine"] for line in logs if line["event"] == "model.loaded"]
    assert loaded == ["tensorrt", "tensorrt", "tensorrt", "onnx"]


async def test_failures_far_apart_do_not_add_up(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store(tmp_path, files, seed=1, heads=HEADS)
    aliases.promote(tmp_path, version)
    now_s = 0.0
    monkeypatch.setattr("streams.serving.champion._now_s", lambda: now_s)
    follower = Follower(tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with follower.following():
            for times in (1, 2):
                now_s += MOST_WAIT_S + 1
                follower.fail()
                await until(lambda n=times: follower.value("hark_failed_models_total") == n)  # type: ignore[misc]
                now_s += 1
                await until(lambda: follower.scorer.model_version == version)
    assert [line["failures"] for line in logs if line["event"] == "model.retry"] == [1, 1]


async def test_a_version_that_the_machine_cannot_open_now_is_tried_again(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store(tmp_path, files, seed=1, heads=HEADS)
    aliases.promote(tmp_path, version)
    real, left = onnxruntime.InferenceSession, [3]

    def short_of_memory(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("bad allocation")
        return real(*arguments, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", short_of_memory)
    follower = Follower(tmp_path)
    async with follower.following():
        await until(lambda: follower.swaps == [version])
    assert follower.refused == 1, "it is said once"


async def test_only_a_worker_that_had_a_champion_misses_it(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    follower = Follower(tmp_path)
    async with follower.following():
        await asyncio.sleep(0.1)
        assert follower.value("hark_champion_named") == 0
        aliases.promote(tmp_path, store(tmp_path, files, seed=1, heads=HEADS))
        await until(lambda: len(follower.swaps) == 1)
        assert follower.value("hark_champion_named") == 1
        (tmp_path / "champion").unlink()
        await asyncio.sleep(0.1)
        assert follower.value("hark_champion_named") == 1

"""Follows the champion alias: a new model is loaded beside the old model and then takes over.

A model that fails while it answers is loaded again, after growing pauses. It is never given up,
because most failures come from the machine and pass.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from models.engines.choice import Choice, EngineFactory, open_onnx, opener, warm
from models.registry import aliases, registry
from models.registry.registry import Model
from models.storage import artefact
from schemas.errors import EngineError, HarkError
from streams.monitoring.metrics import Metrics
from streams.recommendations.sent_lists import COUNTERS

log = structlog.get_logger(__name__)
SAME_ENGINE = 2
"""How often a failed version is retried on its engine before ONNX Runtime runs it."""
MOST_WAIT_S = 300.0
"""Longest wait before a retry of a version."""
Swap = Callable[[Model], Awaitable[None]]


class Champion:
    """Loads the version that an alias names, and loads again whenever the alias changes.

    The present model goes on answering while a version is read, checked, compared with its golden
    answers and run on every length of history. A version that fails a step is refused. It is tried
    again only if its files or the alias change, or if the machine was to blame.

    Parameters
    ----------
    root, alias
        Folder of the registry, and the alias to follow.
    swap
        Called with each verified model, which answers from the next batch on.
    answering
        Returns the version that answers now; "counters" after an engine failed.
    metrics
        Counts refusals and failures.
    engine, plans
        The engine to run models with, and the folder of TensorRT's plans.
    poll_s
        Seconds between two looks at the alias; the first wait after a failure is twice as long.
    """

    def __init__(
        self,
        root: Path,
        alias: str,
        swap: Swap,
        answering: Callable[[], str],
        metrics: Metrics,
        *,
        engine: Choice = "auto",
        plans: Path = Path("var/plans"),
        poll_s: float = 2.0,
    ) -> None:
        self._root = root
        self._alias = alias
        self._swap = swap
        self._answering = answering
        self._metrics = metrics
        self._engine = opener(engine, plans, partial(_fell_back, wanted=engine))
        self._poll_s = poll_s
        self._swapped = _Swapped(COUNTERS, None, 0.0)
        self._failures: dict[str, _Failure] = {}  # by version (or alias)
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the present version, then follow the alias in the background."""
        await self._look(self._alias)
        if self._failures:
            await self._look(aliases.PREVIOUS)
        if self._answering() == COUNTERS:
            log.warning("model.none", registry=str(self._root), answers="counters")
        self.task = asyncio.create_task(self._follow(), name="hark-champion")

    async def stop(self) -> None:
        """Stop following."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    def failed(self, version: str) -> None:
        """Note that `version` failed: the counters answer until a retry loads it again."""
        swapped, self._swapped = self._swapped, _Swapped(COUNTERS, None, 0.0)
        self._metrics.count_failed_model()
        self._metrics.set_model(COUNTERS, "none", loaded_at_s=time.time())
        if _now_s() - swapped.at_s > MOST_WAIT_S:
            self._failures.pop(version, None)  # it had answered well
        failure = self._retry_later(version, swapped.files)
        wait_s = round(failure.retry_at_s - _now_s(), 3)
        log.warning("model.retry", version=version, failures=failure.times, in_s=wait_s)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            if self._swapped.version not in (COUNTERS, self._answering()):
                self.failed(self._swapped.version)
            await self._look(self._alias)
            if self._answering() == COUNTERS and self._is_refused():
                await self._look(aliases.PREVIOUS)

    async def _look(self, alias: str) -> None:
        name: str = alias
        files: object = None
        try:
            version = aliases.resolve(self._root, alias)
            if version is None:
                return
            self._metrics.set_champion_named()
            if version == self._answering():
                return
            name, files = version, await asyncio.to_thread(_fingerprint, self._root / version)
            failure = self._failures.get(name)
            if failure and failure.files == files and _now_s() < failure.retry_at_s:
                return
            started = time.perf_counter()
            model = await asyncio.to_thread(_load, self._root, version, self._engine_for(version))
            await self._swap(model)
        except Exception as error:  # noqa: BLE001 - a follower that dies never follows again
            self._refuse(name, files, error)
            return
        self._swapped = _Swapped(version, files, _now_s())
        if alias == self._alias:
            failure = self._failures.get(version)
            self._failures = {version: failure} if failure else {}
        log.info(
            "model.loaded",
            version=version,
            engine=model.engine.backend,
            took_s=round(time.perf_counter() - started, 3),
        )

    def _refuse(self, name: str, files: object, error: Exception) -> None:
        """Keep the present version; log and count a refusal once for the same files."""
        self._metrics.set_champion_named()
        before = self._failures.get(name)
        if before is None or before.files != files:
            self._metrics.count_refused_model()
            why = str(error) if isinstance(error, HarkError) else repr(error)
            log.error("model.refused", version=name, why=why, answers=self._answering())
        if _may_pass(error):
            self._retry_later(name, files)
        else:
            self._failures[name] = _Failure(files, 0, math.inf)

    def _retry_later(self, version: str, files: object) -> _Failure:
        before = self._failures.get(version)
        times = before.times + 1 if before is not None and before.files == files else 1
        wait_s = min(self._poll_s * 2.0**times, MOST_WAIT_S)
        self._failures[version] = failure = _Failure(files, times, _now_s() + wait_s)
        return failure

    def _is_refused(self) -> bool:
        """Whether a version was refused that can't work unless its files change."""
        return any(failure.retry_at_s == math.inf for failure in self._failures.values())

    def _engine_for(self, version: str) -> EngineFactory:
        failure = self._failures.get(version)
        return open_onnx if failure and failure.times > SAME_ENGINE else self._engine


@dataclass(frozen=True, slots=True)
class _Swapped:
    """The version that was swapped in last, its files, and when (monotonic time)."""

    version: str
    files: object
    at_s: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """How often in a row a version with these files failed, and when it is retried.

    `retry_at_s` (monotonic) is infinite if only other files can help.
    """

    files: object
    times: int
    retry_at_s: float


def _now_s() -> float:
    return time.monotonic()


def _may_pass(error: BaseException) -> bool:
    """Whether the machine is to blame and not the version: out of memory, file handles, GPU."""
    causes = error, error.__cause__
    return any(isinstance(cause, EngineError | OSError | MemoryError) for cause in causes)


def _load(root: Path, version: str, engine: EngineFactory) -> Model:
    model = registry.load(root, version, engine=engine)
    warm(model.engine)
    return model


def _fingerprint(directory: Path) -> object:
    """A value that changes whenever a file of the version changes, as during a copy."""
    try:
        files = [(directory / name).stat() for name in (*artefact.FILES, artefact.MANIFEST)]
    except OSError:
        return "incomplete"
    return [(stat.st_size, stat.st_mtime_ns) for stat in files]


def _fell_back(why: str, wanted: Choice) -> None:
    """Log that ONNX Runtime runs the model: a warning only if the settings demand the GPU."""
    level = log.warning if wanted == "tensorrt" else log.info
    level("model.engine", engine="onnx", why=why)

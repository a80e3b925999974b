"""Follows the champion alias: a new model is loaded beside the old one and takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from models import aliases, artefact, registry
from models.engines import Choice, EngineFactory, opener
from models.registry import Model
from models.warm import warm
from schemas.errors import HarkError
from streams.metrics import Metrics

log = structlog.get_logger(__name__)
Swap = Callable[[Model], Awaitable[None]]


class Champion:
    """Loads the version an alias names, and again whenever the alias changes.

    All of it happens beside the model that answers: reading, checking, the golden answers, a
    first run on every length of history. One that fails any of it is refused once, and tried
    again only if its files or the alias change.

    Parameters
    ----------
    root, alias
        Of the registry.
    swap
        Called with each verified model; it answers from the next batch on.
    metrics
        Told of refusals.
    engine, plans
        What runs it, and where TensorRT's plans are kept.
    poll_s
        How often to look at the alias.
    """

    def __init__(
        self,
        root: Path,
        alias: str,
        swap: Swap,
        metrics: Metrics,
        *,
        engine: Choice = "auto",
        plans: Path = Path("var/plans"),
        poll_s: float = 2.0,
    ) -> None:
        self._root = root
        self._alias = alias
        self._swap = swap
        self._metrics = metrics
        self._engine = opener(engine, plans, partial(_fell_back, wanted=engine))
        self._poll_s = poll_s
        self._answers = "counters"
        self._refused: dict[str, object] = {}  # by version (or alias): its files as they were
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is there now, then follow in the background."""
        await self._look(self._alias)
        if self._refused:
            await self._look(aliases.PREVIOUS)
        if self._answers == "counters":
            log.warning("model.none", registry=str(self._root), answers="counters")
        self.task = asyncio.create_task(self._follow(), name="hark-champion")

    async def stop(self) -> None:
        """Stop following."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._look(self._alias)

    async def _look(self, alias: str) -> None:
        name: str = alias
        files: object = None
        try:
            version = aliases.resolve(self._root, alias)
            if version is None or version == self._answers:
                return
            name, files = version, await asyncio.to_thread(_fingerprint, self._root / version)
            if name in self._refused and self._refused[name] == files:
                return
            started = time.perf_counter()
            model = await asyncio.to_thread(_load, self._root, version, self._engine)
            await self._swap(model)
        except Exception as error:  # noqa: BLE001 - a follower that dies never follows again
            if name not in self._refused or self._refused[name] != files:
                self._refused[name] = files
                self._metrics.count_refused_model()
                why = str(error) if isinstance(error, HarkError) else repr(error)
                log.error("model.refused", version=name, why=why, answers=self._answers)
            return
        self._answers = version
        if alias == self._alias:
            self._refused.clear()
        log.info(
            "model.loaded",
            version=version,
            engine=model.engine.backend,
            took_s=round(time.perf_counter() - started, 3),
        )


def _load(root: Path, version: str, engine: EngineFactory) -> Model:
    model = registry.load(root, version, engine=engine)
    warm(model.engine)
    return model


def _fingerprint(directory: Path) -> object:
    """Changes when a file of the version does: a copy that was under way has gone on."""
    try:
        files = [(directory / name).stat() for name in (*artefact.FILES, artefact.MANIFEST)]
    except OSError:
        return "incomplete"
    return [(stat.st_size, stat.st_mtime_ns) for stat in files]


def _fell_back(why: str, wanted: Choice) -> None:
    """Whoever asked for the GPU is warned; where it is only hoped for, its absence is no news."""
    level = log.warning if wanted == "tensorrt" else log.info
    level("model.engine", engine="onnx", why=why)

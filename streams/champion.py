"""Follows the champion alias: a new model is loaded beside the old one and takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from models import registry
from models.engines import Choice, opener
from models.registry import Model
from schemas.errors import ArtefactError, EngineError

log = structlog.get_logger(__name__)
Swap = Callable[[Model], Awaitable[None]]


class Champion:
    """Loads the version an alias names, and again whenever the alias changes.

    Parameters
    ----------
    root, alias
        Of the registry.
    swap
        Called with each verified model; it answers from the next batch on.
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
        *,
        engine: Choice = "auto",
        plans: Path = Path("var/plans"),
        poll_s: float = 2.0,
    ) -> None:
        self._root = root
        self._alias = alias
        self._swap = swap
        self._engine = opener(engine, plans, partial(_fell_back, wanted=engine))
        self._poll_s = poll_s
        self._seen: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is there now, then follow in the background."""
        await self._look()
        if self._seen is None:
            log.warning("model.none", registry=str(self._root), answers="counters")
        self._task = asyncio.create_task(self._follow(), name="hark-champion")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._look()

    async def _look(self) -> None:
        try:
            version = registry.resolve(self._root, self._alias)
            if version is None or version == self._seen:
                return
            self._seen = version  # a refused version is not tried again until the alias moves
            started = time.perf_counter()
            model = await asyncio.to_thread(registry.load, self._root, version, engine=self._engine)
            await self._swap(model)
            log.info(
                "model.loaded",
                version=version,
                engine=model.engine.backend,
                took_s=round(time.perf_counter() - started, 3),
            )
        except (ArtefactError, EngineError) as error:
            log.error("model.refused", why=str(error), answers="the model before")


def _fell_back(why: str, wanted: Choice) -> None:
    """Whoever asked for the GPU is warned; where it is only hoped for, its absence is no news."""
    level = log.warning if wanted == "tensorrt" else log.info
    level("model.engine", engine="onnx", why=why)

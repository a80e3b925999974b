"""Who answers: Hark with its model, Hark with its counters, and the hand-written loop."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from models.registry import aliases
from ops.benchmarks.latency.load import write_shop
from ops.benchmarks.latency.process import Process
from ops.benchmarks.score_shop import ShopSize, train_model
from ops.demo.scrape import scrape
from ops.local_kafka.ports import free_ports
from schemas.errors import ConfigError, TransientError
from streams.kafka.settings import Kafka

HARK, COUNTERS, LOOP = "hark", "hark_counters", "loop"
NAMES = (HARK, COUNTERS, LOOP)
EVERY_EVENT = {"HARK_RECOMMEND__REFRESH_S": "1", "HARK_RECOMMEND__MIN_INTERVAL_S": "0"}
"""A list is due at every event, as the loop makes them."""
_SILENT = ("unchanged", "held", "empty")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What rivals and senders are given: the shop and the models, each in its folder."""

    folder: Path

    @property
    def shop(self) -> Path:
        """What `write_shop` wrote."""
        return self.folder / "shop"

    @property
    def registry(self) -> Path:
        """With a champion."""
        return self.folder / "registry"

    @property
    def loop_model(self) -> Path:
        """ONNX."""
        return self.folder / "loop.onnx"


def prepare(folder: Path, size: ShopSize, *, train_seconds: float, names: set[str]) -> Prepared:
    """Simulate the shop, and make the models that `names` need.

    Raises
    ------
    ConfigError
        torch or onnx is missing.
    TransientError
        The training failed.
    """
    for package in {"torch", "onnx"} if names - {COUNTERS} else ():
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"{package} is missing: pip install 'hark[train]'")
    made = Prepared(folder)
    made.shop.mkdir()
    write_shop(made.shop, size.simulate())
    if HARK in names:
        version = train_model(folder, size, seconds=train_seconds)
        aliases.promote(made.registry, version)
    if LOOP in names:
        from ops.benchmarks.latency.loop_model import write_model

        write_model(made.loop_model, size.items)
    return made


class Rival(Process):
    """The process of a rival, in a new folder.

    Parameters
    ----------
    name
        One of `NAMES`.
    kafka
        With the prefix of its topics and its group.
    """

    def __init__(self, name: str, kafka: Kafka, prepared: Prepared, folder: Path) -> None:
        self.rival, self._port = name, 0
        if name == LOOP:
            arguments = ["run", str(prepared.loop_model)]
            super().__init__(arguments, folder, kafka, module="ops.benchmarks.latency.loop")
            return
        (self._port,) = free_ports(1)
        registry = prepared.registry if name == HARK else folder / "registry"
        environment = {
            **EVERY_EVENT,
            "HARK_MODEL__REGISTRY": str(registry),
            "HARK_HTTP__PORT": str(self._port),
        }
        super().__init__(["worker", "--log-level", "WARNING"], folder, kafka, environment)

    def check(self) -> bool:
        """Raise if it has ended, whatever its exit code."""
        if super().check():
            raise TransientError(f"{self.name} ended; the end of its log:\n{self.tail()}")
        return False

    async def silent(self) -> int:
        """Events so far that led to no list: it would have been the last one again, or empty."""
        if self.rival == LOOP:
            return 0
        found = await scrape(f"http://127.0.0.1:{self._port}/metrics")
        if found is None:
            raise TransientError(f"{self.rival} doesn't answer at /metrics")
        lists = found.by("hark_recommendations_total", "outcome")
        return round(sum(lists.get(outcome, 0) for outcome in _SILENT))

"""A process of the benchmark: it knows its cluster and nothing else that is set here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.child_process import Child
from ops.connection import kafka_environment
from streams.kafka.settings import Kafka


class Process(Child):
    """A child process with the section `kafka`, in a folder without `hark.toml`."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        kafka: Kafka,
        environment: Mapping[str, str] | None = None,
        module: str = "ops.cli",
    ) -> None:
        folder.mkdir()
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("HARK_")}
        variables = {**kafka_environment(kafka), **(environment or {})}
        super().__init__(arguments, folder, variables, inherited, module=module)

"""Each role's settings on the secured broker, for topics with one prefix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ops.kafka_admin.acls import Binding, grant
from ops.kafka_admin.topics import create_topics
from ops.local_kafka.access import ADMIN, Access
from schemas.roles import rights
from streams.kafka.connect import reached
from streams.kafka.settings import Kafka
from tests.few_partitions import topics

ROOT = Path(__file__).parents[2]


class Roles:
    """Who is who on topics of one prefix; the workers' group begins with it too."""

    def __init__(self, access: Access, prefix: str) -> None:
        self.access = access
        self.prefix = prefix
        self.group = f"{prefix}hark"

    def kafka(self, role: str, **changes: Any) -> Kafka:
        """The section `kafka` of one role."""
        mine = {"topic_prefix": self.prefix, "group_id": self.group}
        return Kafka.model_validate({**self.access.settings(role), **mine, **changes})

    def client(self, role: str) -> dict[str, Any]:
        return self.kafka(role).client()

    async def set_up(self) -> None:
        client = self.client(ADMIN)
        await create_topics(client, topics(self.prefix), 1)
        async with reached(client) as connection:
            found = rights(self.prefix, self.group)
            await grant(connection, [Binding.of(right, f"User:{right.role}") for right in found])


def hark(
    roles: Roles, folder: Path, role: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`hark ...` as a process of its own, logged in as `role`."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HARK_CONFIG": str(roles.access.settings_file(role)),
            "HARK_KAFKA__TOPIC_PREFIX": roles.prefix,
            "HARK_KAFKA__GROUP_ID": roles.group,
            **environment,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

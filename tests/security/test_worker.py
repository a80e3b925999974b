"""The whole worker as the user `worker`: over TLS, logged in, with no right too many."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ops.kafka_admin.acls import Binding, revoke
from ops.publish.feed import feed
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from schemas.roles import Operation, Resource, Right
from schemas.topics import ALERTS, RECOMMENDATIONS
from streams.kafka.connect import reached
from tests.end_to_end.test_group import outcomes, until
from tests.end_to_end.worker import worker
from tests.few_partitions import topics
from tests.security.roles import Roles, hark

EVENTS = 1_000


async def take_away(roles: Roles, topic: str) -> None:
    """The worker's right to write one topic."""
    right = Right("worker", Resource.TOPIC, roles.prefix + topic, Operation.WRITE)
    async with reached(roles.client("admin")) as client:
        assert await revoke(client, [Binding.of(right, "User:worker")])


async def publish(roles: Roles, seed: int = 5) -> None:
    shop = simulate_events(seed, users=200, items=60, days=10, events=EVENTS)
    async with Publisher(roles.client("publisher"), f"{roles.prefix}events") as publisher:
        await publisher.publish(feed(shop.events, shop.catalogue, roles.prefix))


def answer(roles: Roles, folder: Path, role: str, *arguments: str) -> list[dict[str, object]]:
    """What a command prints as JSON to who has this role."""
    done = hark(roles, folder, role, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
async def test_a_worker_works_restores_tells_no_password_and_stops_when_a_right_is_taken_away(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_CONFIG", str(roles.access.settings_file("worker")))
    password = roles.access.passwords()["worker"]
    servers = roles.kafka("worker").bootstrap_servers

    def story() -> None:
        with worker(tmp_path, servers, roles.prefix) as running:
            running.wait_until_ready()
            asyncio.run(publish(roles))
            until(lambda: outcomes(running).get("accepted") == EVENTS, "every event is accepted")
            command = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
            assert password.encode() not in command
            forget = roles, tmp_path, "operator", "forget", "u-1"
            assert answer(*forget)[0]["partitions"]
            until(
                lambda: answer(*forget, "--status")[0]["forgotten_by_workers"] is True,
                "the user is forgotten",
            )
            assert running.stop() == 0, running.log()
            log = running.log()
        # A second one takes over, so it restores: reads its checkpoints and the alerts.
        with worker(tmp_path, servers, roles.prefix) as running:
            running.wait_until_ready()
            log += running.log()
            asyncio.run(take_away(roles, "recommendations"))
            asyncio.run(publish(roles, seed=6))
            assert running.process.wait(60) == 1
            last = running.log().splitlines()[-1]
            assert f"TopicAuthorizationFailedError: {roles.prefix}recommendations" in last
            log += running.log()
        assert "state.restored" in log
        assert password not in log

    await asyncio.to_thread(story)
    everything = "tail", "recommendations", "--from-beginning", "--until-end"
    assert await asyncio.to_thread(answer, roles, tmp_path, "reader", *everything)
    assert {spec.name for spec in topics() if "reader" in spec.consumers} == {
        RECOMMENDATIONS.name,
        ALERTS.name,
    }

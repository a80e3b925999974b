"""`hark forget USER`: erase a user, leave a tombstone, print a receipt."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ops.archive.copy import archive_topic
from ops.archive.files import partitions
from ops.archive.forgotten import Erased
from ops.archive.window import window
from ops.connection import connected_settings
from ops.privacy.forget_records import Place, find, publish
from ops.privacy.pseudonym_command import pseudonyms
from ops.training.train_command import ARCHIVE
from schemas.errors import ConfigError, TransientError
from schemas.times import format_time_ms
from schemas.topics import ALERTS, DEAD_LETTERS, EVENTS, RECOMMENDATIONS
from streams.checkpoints.restore import committed_offsets
from streams.kafka.retry import retried
from streams.settings import Settings

KEEPING = (EVENTS, RECOMMENDATIONS, ALERTS, DEAD_LETTERS)


@click.command("forget")
@click.argument("user")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    default=ARCHIVE,
    show_default=True,
    help="Folder where `hark train` archives the event log.",
)
@click.option("--status", "only_status", is_flag=True, help="Publish nothing; print the progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
def forget(*, user: str, archive: Path, only_status: bool, as_json: bool) -> None:
    """Erase USER from every worker, from the archive and from every later training.

    The command publishes forget records to the event log, so workers and replays forget at that
    place of the log. Later events belong to a new user. With a key in [privacy], USER's pseudonym
    is forgotten as well. Running it twice does no harm.
    """
    if not user:
        raise ConfigError("forget whom? USER is empty (an unset shell variable?)")
    settings = connected_settings("operator")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    made = pseudonyms(settings.privacy)
    users = sorted({user} if made is None else {user, made.of(user)})
    receipt = {
        # Keyed: it identifies the receipt, and nobody can guess the user from it.
        "pseudonym": None if made is None else made.of(user),
        **(_status(settings, users) if only_status else _forget(settings, users, archive)),
    }
    if as_json:
        click.echo(json.dumps(receipt))
    else:
        _tell(receipt)
    archived = receipt.get("archive")
    if archived and not archived["complete"]:
        raise TransientError(
            f"{len(archived['files_unread'])} files of the archive can't be read or written now, "
            f"{archived['files_unread'][0]} first: the erasure isn't complete, run it again"
        )


def _forget(settings: Settings, users: list[str], archive: Path) -> dict[str, Any]:
    client = settings.kafka.client()
    topic = settings.kafka.topic_prefix + EVENTS.name
    places = [place for user in users for place in asyncio.run(publish(client, topic, user))]
    erased = _clean(settings, topic, archive)
    return {
        **_status(settings, users, places),
        "archive": None
        if erased is None
        else {
            "path": str(archive),
            "records_erased": erased.records,
            "files_rewritten": erased.files,
            "tombstones": True,
            "complete": not erased.unread,
            "files_unread": [str(path) for path in erased.unread],
            "files_damaged": [str(path) for path in erased.damaged],
        },
        "models": "hold no user ids; the next training learns nothing of the user",
    }


def _clean(settings: Settings, topic: str, archive: Path) -> Erased | None:
    """Bring the archive up to the forget records, which it obeys; None if there is none."""
    if not partitions(archive, topic):
        return None
    erased = Erased()
    kept = None
    if settings.train.prune_archive:
        # A file that can't be read now keeps the archive from being pruned, not from being erased.
        with suppress(TransientError):
            kept = window(archive, topic, settings.train)
    client = settings.kafka.client()
    asyncio.run(
        archive_topic(
            client, topic, archive, erased=erased, since_ms=kept.kept_ms if kept else None
        )
    )
    return erased


def _status(
    settings: Settings, users: list[str], places: list[Place] | None = None
) -> dict[str, Any]:
    """What is known of the users' forget records: where they are, who has read them, until when."""
    client, prefix = settings.kafka.client(), settings.kafka.topic_prefix
    topic, group = prefix + EVENTS.name, settings.kafka.group_id
    if places is None:
        places = asyncio.run(find(client, topic, users))
    reading = retried(
        "reading committed offsets",
        lambda: committed_offsets(client, group),
        settings.limits.retry_s,
    )
    committed = {
        tp.partition: offset for tp, offset in asyncio.run(reading).items() if tp.topic == topic
    }
    at_ms = max((place.at_ms for place in places), default=None)
    rows = [
        {
            "partition": place.partition,
            "offset": place.offset,
            "committed": committed.get(place.partition),
            "forgotten": committed.get(place.partition, -1) > place.offset,
        }
        for place in places
    ]
    return {
        "at": None if at_ms is None else format_time_ms(at_ms),
        "topic": topic,
        "group": group,
        "partitions": rows,
        "forgotten_by_workers": bool(rows) and all(row["forgotten"] for row in rows),
        "kept_until": {}
        if at_ms is None
        else {prefix + spec.name: format_time_ms(at_ms + spec.retention_ms) for spec in KEEPING},
    }


def _tell(receipt: dict[str, Any]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if receipt["at"] is None:
        console.print("nobody has asked to forget this user, or the log no longer says so")
        return
    console.print(f"{receipt['pseudonym'] or 'the user'} is forgotten as of {receipt['at']}")
    for row in receipt["partitions"]:
        done = "forgotten" if row["forgotten"] else f"worker is at {row['committed'] or 0}"
        console.print(f"  {receipt['topic']}/{row['partition']} offset {row['offset']}: {done}")
    archive = receipt.get("archive")
    if archive:
        console.print(
            f"  archive {archive['path']}: {archive['records_erased']:,} records erased from "
            f"{archive['files_rewritten']:,} files; a tombstone keeps them out"
        )
        for path in archive["files_unread"]:
            console.print(f"  NOT ERASED, can't be read or written now: {path}")
        for path in archive["files_damaged"]:
            console.print(f"  damaged, may hold records of the user, delete it: {path}")
    if "models" in receipt:
        console.print(f"  models {receipt['models']}")
    for topic, until in receipt["kept_until"].items():
        console.print(f"  {topic}: what was published stays until {until} (retention)")
    if not receipt["forgotten_by_workers"]:
        console.print("workers go on reading; see how far: hark forget USER --status")

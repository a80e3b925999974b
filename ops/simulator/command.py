"""`hark simulate`: publish the events of a synthetic shop whose truth is known."""

from __future__ import annotations

from pathlib import Path

import click

from ops.connection import connected_settings
from ops.publish.feed import run
from ops.publish.pace import at_rate
from ops.simulator.simulation import simulate_events
from schemas.errors import ConfigError


@click.command()
@click.option("--users", type=click.IntRange(min=10), default=1_000, show_default=True)
@click.option("--items", type=click.IntRange(min=10), default=1_000, show_default=True)
@click.option(
    "--days",
    type=click.FloatRange(min=1),
    default=90.0,
    show_default=True,
    help="Simulated days that the events' times span.",
)
@click.option("--events", type=click.IntRange(min=1), default=80_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same events.")
@click.option("--rate", type=float, metavar="N", help="N events/s, whatever Kafka does.")
@click.option("--max", "fastest", is_flag=True, help="As fast as Kafka takes them (the default).")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write who quits and which payments are fraud (.json or .parquet).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def simulate(
    *,
    users: int,
    items: int,
    days: float,
    events: int,
    seed: int,
    rate: float | None,
    fastest: bool,
    truth: Path | None,
    as_json: bool,
) -> None:
    """Publish a synthetic shop: people with lasting tastes visit, buy, complain and quit.

    Payments at compromised terminals and from taken-over accounts are confirmed as fraud days
    later; new items arrive through the `items` topic. A second run with the same seed sends the
    same message ids: duplicates, not new events.
    """
    if rate is not None and fastest:
        raise click.UsageError("--rate and --max exclude each other")
    if truth and truth.suffix not in (".json", ".parquet"):
        raise ConfigError(f"--truth {truth}: write a .json or a .parquet file")
    settings = connected_settings("publisher")
    shop = simulate_events(seed, users, items, days, events)
    if truth and truth.suffix == ".parquet":
        shop.truth.write_parquet(truth)
    elif truth:
        shop.truth.write_json(truth)
    kinds = shop.truth["kind"]
    extra = {
        "seed": seed,
        "quits": int((kinds == "quit").sum()),
        "frauds": int((kinds == "fraud").sum()),
    }
    pace = at_rate(rate) if rate is not None else None
    run(settings, shop.events, shop.catalogue, pace, as_json=as_json, extra=extra)

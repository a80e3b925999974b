"""`hark pseudonym USER`: print a user's pseudonym, so that support can look the user up."""

from __future__ import annotations

import json

import click
import polars as pl

from schemas.errors import ConfigError
from schemas.pseudonym import Pseudonyms, read_key
from streams.settings import Privacy, load_settings


@click.command("pseudonym")
@click.argument("users", nargs=-1, required=True, metavar="USER...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: id -> pseudonym.")
def pseudonym(*, users: tuple[str, ...], as_json: bool) -> None:
    """Print the pseudonyms of user ids under the key of `[privacy]`."""
    made = pseudonyms(load_settings().privacy)
    if made is None:
        raise ConfigError("no privacy.key_file is set (hark.toml): ids stay as they are")
    found = {user: made.of(user) for user in users}
    if as_json:
        click.echo(json.dumps(found))
        return
    for name in found.values():
        click.echo(name)


def pseudonyms(privacy: Privacy) -> Pseudonyms | None:
    """Return the maker of pseudonyms; None where no key is set.

    Raises
    ------
    ConfigError
        The key can't be read, is too short, or others may read it.
    """
    if privacy.key_file is None:
        return None
    return Pseudonyms(read_key(privacy.key_file), privacy.key_id)


def under_pseudonyms(
    events: pl.DataFrame, made: Pseudonyms, columns: tuple[str, ...]
) -> pl.DataFrame:
    """An event frame whose `user_id`, and ids in `columns` where it has them, are pseudonyms."""
    named = [name for name in ("user_id", *columns) if name in events.columns]
    return events.with_columns(
        pl.col(name)
        .cast(pl.String)
        .replace_strict(
            {user: made.of(user) for user in events[name].cast(pl.String).drop_nulls().unique()},
            default=None,
            return_dtype=pl.String,
        )
        for name in named
    )

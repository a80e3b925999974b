"""Options of every command that reads a file of events, and what is told of the reading."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from ops.event_files.adapters import Source
from ops.event_files.event_file import HowToRead
from ops.event_files.times import read_one


class Mapping(click.ParamType):
    """`user=user_id,event=event_type,...` as a dict of Hark's words to columns."""

    name = "mapping"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """Split the pairs; click shows what can't be split."""
        pairs = [pair.split("=", 1) for pair in str(value).split(",") if pair]
        if bad := [pair[0] for pair in pairs if len(pair) != 2 or not all(pair)]:
            self.fail(f"{bad[0]!r} is no word=column pair", param, ctx)
        return dict(pairs)


class Moment(click.ParamType):
    """A date, a time or epoch seconds, as epoch milliseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it the way files are read."""
        moment, why = read_one(str(value))
        if moment is None:
            self.fail(f"{value!r} is no date or time: {why}", param, ctx)
        return moment


_F = TypeVar("_F", bound=Callable[..., object])


def reading_options(command: _F) -> _F:
    """Add `--encoding` and `--dates`; `how_to_read` makes of both what `load` takes."""
    encoding = click.option(
        "--encoding",
        metavar="NAME",
        help="Of a text file that isn't UTF-8: cp1252 (Western Europe), gb18030 (Chinese), ...",
    )
    dates = click.option(
        "--dates",
        type=click.Choice(["dmy", "mdy"]),
        help="Whether 3/4/2026 is in April or in March, where no value of the file shows it.",
    )
    return encoding(dates(command))


def how_to_read(encoding: str | None, dates: str | None) -> HowToRead:
    """What the options say."""
    return HowToRead(encoding, None if dates is None else dates == "dmy")


def warn_of(source: Source) -> None:
    """One line on standard error for everything that a person should know of the reading."""
    for note in source.notes:
        click.echo(f"warning: {note}", file=sys.stderr)

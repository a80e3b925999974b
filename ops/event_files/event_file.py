"""Read a file of events: CSV, TSV, JSON or Parquet, plain or gzipped, into columns of text.

What can't be read is never dropped without a word: it is counted, and told with its column, value
and row; where it is too much, the file is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ops.event_files.numbers import read_numbers
from ops.event_files.table import ROW, read_table
from ops.event_files.times import read_times
from schemas.errors import ConfigError

TOO_MUCH = 0.5
"""Where more than this share of the rows, or of a column's values, can't be read: no guesses."""


@dataclass(frozen=True, slots=True)
class HowToRead:
    """What the file doesn't say itself.

    Attributes
    ----------
    encoding
        Of the text; None: UTF-8, or UTF-16 with a byte order mark.
    day_first
        Of dates as 3/4/2026; None: what another value of the column shows.
    own_clock
        Small numbers as times are seconds of a clock of the file's own.
    header
        Whether the first row names the columns; without, they are `1`, `2`, ...
    """

    encoding: str | None = None
    day_first: bool | None = None
    own_clock: bool = False
    header: bool = True


AS_IT_STANDS = HowToRead()


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file's columns as texts, and what of it could not be read.

    Attributes
    ----------
    name
        Of the file.
    table
        Every column text, null where empty; the row's number (from 0) in `ROW`.
    how
        As it was asked for.
    skipped
        Rows and values that were left out, by reason.
    notes
        One line each, for a person.
    untimed
        Numbers of the rows whose time can't be read.
    """

    name: str
    table: pl.DataFrame
    how: HowToRead = AS_IT_STANDS
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    untimed: set[int] = field(default_factory=set)

    def times_ms(self, column: str) -> pl.Series:
        """Event times as int64 epoch milliseconds, null where a text is no time.

        Raises
        ------
        ConfigError
            Too many can't be read.
        """
        how = self.how
        found = read_times(self.table[column], day_first=how.day_first, own_clock=how.own_clock)
        if found.guessed:
            self.notes.append(f"column {column}: {found.guessed}")
        self._account(column, found.unread, "times", found.why, "left out")
        self.untimed.update(self.table[ROW].filter(found.unread).to_list())
        return found.ms

    def numbers(self, column: str) -> pl.Series:
        """Amounts as float64, null where a text is no number.

        Raises
        ------
        ConfigError
            Too many can't be read.
        """
        found = read_numbers(self.table[column])
        self._account(column, found.unread, "numbers", found.why, "events without them")
        self.skipped["unreadable_number"] += int(found.unread.sum())
        return found.values

    def _account(self, column: str, unread: pl.Series, what: str, why: str, then: str) -> None:
        count = int(unread.sum())
        if not count:
            return
        first = int(unread.arg_true()[0])
        values = self.table[column]
        filled = len(values) - int((values.str.strip_chars() == "").sum()) - values.null_count()
        line = (
            f"column {column}: {count:,} of {filled:,} {what} can't be read, the first is "
            f"{values[first]!r:.80} in data row {self.table[ROW][first] + 1:,}: {why}"
        )
        if count > TOO_MUCH * filled:
            raise ConfigError(f"{self.name}: {line}")
        self.notes.append(f"{line} ({then})")

    def need(self, columns: Iterable[str], what: str) -> None:
        """Raise a ConfigError that names what is missing and what is there."""
        if missing := [name for name in columns if name not in self.table.columns]:
            raise ConfigError(
                f"{what}: no column {', '.join(missing)}; the file has {self.columns()}"
                + ("" if self.how.header else ", numbered, as the mapping has numbers only")
            )

    def columns(self) -> str:
        """The names of its columns, for a person."""
        names = [name for name in self.table.columns if name != ROW]
        shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
        return shown if len(names) > 1 else f"{shown} (one column; separators: tab , ; | ::)"


def read(path: Path, how: HowToRead = AS_IT_STANDS) -> EventFile:
    """The file as it stands.

    RecBole's typed headers (`user_id:token`) lose their type. Columns that share a name are called
    `name#1` and `name#3` after their places, one without a name `#2`.

    Raises
    ------
    ConfigError
        There is no such file, or it holds no table; says what to do.
    """
    table, skipped, notes = read_table(path, how.encoding, header=how.header)
    count = sum(skipped.values())
    if count > TOO_MUCH * (count + len(table)):
        raise ConfigError(f"{path}: {notes[0]}")
    return EventFile(path.name, table, how, skipped, notes)

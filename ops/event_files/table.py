"""A file as a table of texts: separated values, JSON or Parquet, plain or gzipped."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Literal

import polars as pl

from ops.event_files.text import Form, content, form_of, not_utf8, utf8
from schemas.errors import ConfigError

ROW = "(row)"
"""Column of the row numbers, from 0."""
_RECBOLE = (":token", ":token_seq", ":float", ":float_seq")
_SEPARATORS = "\t,;|"
_FOR_COLONS = "\x1f"  # a reader's separator is one byte; stands for `::`
_NO_LIMIT = 2**31 - 1

Read = tuple[pl.DataFrame, Counter[str], list[str]]
"""The table with its row numbers, rows left out by reason, a line on each reason."""


def read_table(path: Path, encoding: str | None = None, *, header: bool = True) -> Read:
    """Every column as texts, null where empty.

    Raises
    ------
    ConfigError
        There is no such file, or it holds no table; says what to do.
    """
    form = form_of(path)
    try:
        if form == "table":
            found = _separated(path, encoding, header=header)
        else:
            found = _typed(path, form), Counter(), []
    except pl.exceptions.PolarsError as error:
        if form != "parquet" and encoding is None and (other := not_utf8(path)) is not None:
            raise other from None
        raise ConfigError(f"{path}: no table of events: {_line(error)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {_line(error)}") from None
    table, _, notes = found
    if table.is_empty():
        raise ConfigError(f"{path}: {notes[0] if notes else 'no rows'}")
    return found


def _line(error: Exception) -> str:
    return f"{str(error).splitlines()[0] if str(error) else type(error).__name__:.200}"


def _separated(path: Path, encoding: str | None, *, header: bool) -> Read:
    text = utf8(path, encoding)
    with content(text) as file:
        line = file.readline(1 << 20).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if "::" in line and not any(separator in line for separator in _SEPARATORS):
        with content(text) as file:
            text = BytesIO(file.read().replace(b"::", _FOR_COLONS.encode()))
        line = line.replace("::", _FOR_COLONS)
    outside = "".join(line.split('"')[::2])
    separator = max((*_SEPARATORS, _FOR_COLONS), key=outside.count)
    quoted = separator != "\t" or line.startswith('"')  # tab-separated titles hold bare quotes
    table, longer = _parsed(text, separator, quoted=quoted, header=header)
    names = next(csv.reader([line], delimiter=separator), []) if quoted else line.split(separator)
    if not header:
        names = [str(place) for place in range(1, table.width + 1)]
    if len(names) == table.width:  # else a name holds a line break
        table.columns = _names(names)
    else:
        table.columns = _names(table.columns)
    width = table.width
    table = table.with_row_index(ROW)
    if not longer and not table.to_series(-1).null_count():
        return table, Counter(), []
    fields = list(_fields(text, separator, width, quoted=quoted))[header:]
    return _even(path, table, fields, width)


def _parsed(
    text: Path | BytesIO, separator: str, *, quoted: bool, header: bool
) -> tuple[pl.DataFrame, bool]:
    """The table, and whether some rows have more fields than the first."""
    for longer in (False, True):
        if isinstance(text, BytesIO):
            text.seek(0)
        try:
            table = pl.read_csv(
                text,
                separator=separator,
                quote_char='"' if quoted else None,
                has_header=header,
                infer_schema=False,
                truncate_ragged_lines=longer,
            )
        except pl.exceptions.ComputeError as error:
            if longer or "more fields" not in str(error):
                raise
        else:
            return table, longer
    raise AssertionError


def _names(names: Iterable[str]) -> list[str]:
    """Names of columns, no two the same."""
    bare = []
    for name in map(str.strip, names):
        suffix = next((kind for kind in _RECBOLE if name.endswith(kind)), "")
        bare.append(name.removesuffix(suffix))
    count = Counter(bare)
    return [
        f"{name}#{place}" if count[name] > 1 or name in ("", ROW) else name
        for place, name in enumerate(bare, 1)
    ]


def _fields(text: Path | BytesIO, separator: str, width: int, *, quoted: bool) -> Iterator[int]:
    """How many fields each row has, the header included; an empty one too many doesn't count."""
    csv.field_size_limit(_NO_LIMIT)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with content(text) as file, TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        for row in csv.reader(lines, delimiter=separator, quoting=quoting):
            yield len(row) - (len(row) == width + 1 and not row[-1])


def _even(path: Path, table: pl.DataFrame, fields: list[int], width: int) -> Read:
    """Leave out the rows that have more fields than the header, tell of those that have fewer."""
    if len(fields) != len(table):
        first = next((n for n, count in enumerate(fields, 1) if count != width), 0)
        raise ConfigError(
            f"{path}: rows don't have the header's {width} fields, the first is data row "
            f"{first:,}: quote what holds the separator or a quote"
        )
    skipped: Counter[str] = Counter()
    notes = []
    counts = pl.Series(fields)
    wrong = {"too_many_fields": counts > width, "too_few_fields": (counts < width) & (counts > 0)}
    for reason, where in wrong.items():
        if where.any():
            first = int(where.arg_true()[0])
            many = reason == "too_many_fields"
            amount = "more" if many else "fewer"
            then = "left out; quote what holds the separator" if many else "the rest is empty"
            where_it_is = f"the first is data row {first + 1:,} with {counts[first]}"
            notes.append(
                f"{int(where.sum()):,} of {len(where):,} rows have {amount} fields than the "
                f"header's {width}, {where_it_is}: {then}"
            )
    if wrong["too_many_fields"].any():
        skipped["too_many_fields"] = int(wrong["too_many_fields"].sum())
    return table.filter(~wrong["too_many_fields"]), skipped, notes


def _typed(path: Path, form: Form) -> pl.DataFrame:
    """JSON and Parquet: objects become columns as `a.b`, lists are left out."""
    if form == "parquet":
        table = pl.read_parquet(path)
    else:
        read = pl.read_ndjson if form == "lines" else pl.read_json
        text = utf8(path, None)
        with content(text) as file:
            table = read(BytesIO(file.read()), infer_schema_length=None)
    while objects := [name for name, kind in table.schema.items() if kind == pl.Struct]:
        for name in objects:
            inner = table[name].struct
            table = table.with_columns(
                inner.field(part).alias(f"{name}.{part}") for part in inner.fields
            ).drop(name)
    flat = [name for name, kind in table.schema.items() if not kind.is_nested()]
    texts = table.select(pl.col(flat).cast(pl.String, strict=False))
    texts = texts.with_columns(pl.when(pl.all() != "").then(pl.all()))
    texts.columns = _names(texts.columns)
    return texts.with_row_index(ROW)

"""Read a file of events: CSV or TSV, plain or gzipped, times in whatever form they come."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from schemas.errors import ConfigError

_NUMBER = r"^\s*-?\d+(\.\d+)?([eE]\+?\d+)?\s*$"
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
)
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")


def read(path: Path) -> pl.DataFrame:
    """The file as it stands: every column text, its row number (from 0) in `row`.

    RecBole's typed headers (`user_id:token`) lose their type.

    Raises
    ------
    ConfigError
        There is no such file, or it holds no table.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as text:
            header = text.readline()
        separator = max("\t,;|", key=header.count)
        table = pl.read_csv(
            path, separator=separator, infer_schema=False, quote_char=_quote(separator)
        )
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no table of events: {str(error).splitlines()[0]}") from None
    if table.is_empty():
        raise ConfigError(f"{path}: no rows")
    names = {name: name.split(":")[0].strip() for name in table.columns}
    return table.rename(names).with_row_index("row")


def _quote(separator: str) -> str | None:
    return None if separator == "\t" else '"'  # tab-separated titles hold bare quotes


def need(table: pl.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise a ConfigError that names what is missing and what is there."""
    if missing := [name for name in columns if name not in table.columns]:
        there = ", ".join(name for name in table.columns if name != "row")
        raise ConfigError(f"{what}: no column {', '.join(missing)}; the file has {there}")


def times_ms(column: pl.Series) -> pl.Series:
    """Event times as int64 epoch milliseconds, null where a text is no time.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by their size (the median
    decides for the whole column); texts are ISO 8601 or one of a few usual forms, UTC where
    they name no zone.

    Examples
    --------
    >>> times_ms(pl.Series(["1430623510", "1430623510.5"])).to_list()
    [1430623510000, 1430623510500]
    >>> times_ms(pl.Series(["2010-12-01 08:26:00", "soon"])).to_list()
    [1291191960000, None]
    """
    numbers = int(column.str.contains(_NUMBER).sum())
    if numbers and 2 * numbers >= column.len() - column.null_count():
        number = column.str.strip_chars().cast(pl.Float64, strict=False)
        median = abs(float(number.median() or 0.0))  # type: ignore[arg-type]
        scale = next(
            (s for limit, s in ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3)) if median < limit), 1e-6
        )
        return (number * scale).round().cast(pl.Int64, strict=False)
    candidates = [column.str.to_datetime(form, strict=False, time_unit="ms") for form in _FORMATS]
    candidates += [
        column.str.to_datetime(form, strict=False, time_unit="ms", time_zone="UTC")
        for form in _ZONED
    ]
    return min(candidates, key=pl.Series.null_count).dt.epoch("ms")

"""What kind of file it is, by its first bytes, and its text in UTF-8: or what to do instead."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, cast
from zipfile import BadZipFile, ZipFile

from schemas.errors import ConfigError

Form = Literal["table", "parquet", "lines", "array"]
_HEAD = 65_536
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_USUAL = "cp1252 (Western Europe), gb18030 (Chinese), cp1251 (Cyrillic), shift_jis (Japanese)"
_GZIP, _ZIP, _PARQUET, _OLD_EXCEL = b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
_ZSTD, _BZIP2, _XZ = b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"


def form_of(path: Path) -> Form:
    """Which reader the file wants.

    Raises
    ------
    ConfigError
        No such file, none that can be read, or a form that Hark doesn't read; says what to do.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    if path.is_dir():
        raise ConfigError(f"{path}: a folder; name a file in it")
    if not path.is_file():
        raise ConfigError(f"{path}: no regular file (a pipe or a device); save it to a file first")
    with content(path) as file:
        head = file.read(_HEAD)
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith((_ZIP, _OLD_EXCEL)):
        raise ConfigError(f"{path}: {_in_a_zip(path)}")
    for magic, tool in ((_ZSTD, "zstd -d"), (_BZIP2, "bunzip2"), (_XZ, "unxz")):
        if head.startswith(magic):
            raise ConfigError(f"{path}: compressed in a way that isn't read; {tool} it first")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return "lines" if text[:1] == b"{" else "array" if text[:1] == b"[" else "table"


def _in_a_zip(path: Path) -> str:
    try:
        with ZipFile(path) as archive:
            excel = "xl/workbook.xml" in archive.namelist()
    except (BadZipFile, OSError):
        excel = True  # .xls is no zip
    if excel:
        return "an Excel workbook; save it as `CSV UTF-8` (Excel: File, Save As) and give that"
    return "a zip archive; unpack it and give the file inside"


def utf8(path: Path, encoding: str | None) -> Path | BytesIO:
    """The file if it is UTF-8, else its text in it.

    Raises
    ------
    ConfigError
        The encoding isn't known or isn't the file's.
    """
    with content(path) as file:
        head = file.read(_HEAD)
        if isinstance(file, gzip.GzipFile):  # one that is cut off must not pass for a short one
            while file.read(_HEAD):
                pass
    if encoding is None:
        encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)
    if encoding is None and (zeros := head.count(0)) > len(head) / 4:
        order = "le" if head[1:200:2].count(0) >= head[0:200:2].count(0) else "be"
        raise ConfigError(
            f"{path}: {zeros:,} of its first {len(head):,} bytes are zero: is it UTF-16? Try "
            f"--encoding utf-16-{order}"
        )
    if encoding in (None, "utf-8-sig"):
        return path  # the reader knows this mark
    assert encoding is not None
    try:
        with content(path) as file:
            return BytesIO(file.read().decode(encoding).removeprefix("\ufeff").encode())
    except LookupError:
        raise ConfigError(f"--encoding {encoding}: no such encoding; usual: {_USUAL}") from None
    except UnicodeError as error:
        raise ConfigError(f"{path}: isn't in {encoding}: {error}") from None


@contextmanager
def content(text: Path | BytesIO) -> Iterator[IO[bytes]]:
    """Its bytes from the first on, of what is inside if it is gzipped, whatever it is called.

    Raises
    ------
    ConfigError
        It can't be read.
    """
    if isinstance(text, BytesIO):
        yield BytesIO(text.getvalue())
        return
    try:
        with text.open("rb") as file:
            zipped = file.read(2) == _GZIP
        with gzip.open(text, "rb") if zipped else text.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{text}: can't be read: {why}") from None


def not_utf8(path: Path) -> ConfigError | None:
    """The error that names the first line that isn't UTF-8; None if all are."""
    with content(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                shown = line[max(error.start - 12, 0) : error.start + 6]
                return ConfigError(
                    f"{path}: line {number:,} isn't UTF-8 ({shown!r}): say which encoding it is "
                    f"with --encoding: {_USUAL}"
                )
    return None

"""An archive obeys the forget records of its log: whatever was there, whenever it is killed."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ops.archive.files import PartitionArchive, Span
from ops.archive.forgotten import FILE, Erased, Forgotten
from schemas.errors import ConfigError, TransientError
from schemas.events import control
from streams.transport.record_batch import RecordBatch

TOPIC = "events"


def event(user: str, **more: object) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    value = {"messageId": f"m-{user}", "userId": user, "event": "Product Viewed", **more}
    return user.encode(), json.dumps(value).encode(), []


def batch(first: int, *records: tuple[bytes, bytes, list[tuple[str, bytes]]]) -> RecordBatch:
    n = len(records)
    offsets = list(range(first, first + n))
    return RecordBatch(
        TOPIC, 0, first, first + n - 1, offsets, offsets,
        [key for key, _, _ in records], [value for _, value, _ in records],
        [tuple(headers) for _, _, headers in records],
    )  # fmt: skip


def copy(root: Path, part: RecordBatch) -> None:
    """What archiving does with a fetch, but for the erasing at its end."""
    forgotten = Forgotten(root, TOPIC)
    kept = forgotten.take(part)
    span = Span(part.first_offset, part.last_offset + 1)
    PartitionArchive(root, TOPIC, 0).write(span, [] if kept is None else [kept])


def users(root: Path) -> list[tuple[int, str]]:
    held = PartitionArchive(root, TOPIC, 0)
    return [
        (offset, (key or b"").decode())
        for part in held.read()
        for offset, key in zip(part.offsets, part.keys, strict=True)
    ]


def everything(root: Path) -> bytes:
    """All that is on the disk, Parquet unpacked."""
    found = [str(path).encode() for path in root.rglob("*")]
    for path in root.rglob("*"):
        if path.is_file():
            found.append(path.read_bytes())
            if path.suffix == ".parquet":
                found.append(repr(pl.read_parquet(path).to_dicts()).encode())
    return b"".join(found)


def test_a_user_who_is_forgotten_is_in_no_file_and_one_who_comes_back_is_new(
    tmp_path: Path,
) -> None:
    copy(tmp_path, batch(0, event("ann"), event("bob"), event("ann")))
    later = [event("bob"), control.forget("ann"), event("ann"), event("bob")]
    copy(tmp_path, batch(3, *later))
    erased = Erased()
    Forgotten(tmp_path, TOPIC).erase(erased)
    assert users(tmp_path) == [(1, "bob"), (3, "bob"), (5, "ann"), (6, "bob")]
    assert (erased.records, erased.files) == (2, 1)
    assert PartitionArchive(tmp_path, TOPIC, 0).missing(0, 7) == []


@pytest.mark.parametrize(
    "record",
    [
        (None, event("ann")[1], []),  # without a key
        (b"other", event("ann")[1], []),
        (b"ann", b"not json", []),
        (b"x", event("bob", anonymousId="ann")[1], []),
        (b"x", b'{"messageId":"m","event":"e"}', [("ce_subject", b"ann")]),
    ],
)
def test_whatever_names_the_user_goes(
    tmp_path: Path, record: tuple[bytes, bytes, list[tuple[str, bytes]]]
) -> None:
    copy(tmp_path, batch(0, event("bob"), record, control.forget("ann")))
    Forgotten(tmp_path, TOPIC).erase()
    assert users(tmp_path) == [(0, "bob")]
    assert b"ann" not in everything(tmp_path)


def test_a_whole_number_is_forgotten_as_its_text(tmp_path: Path) -> None:
    number = b"7", b'{"messageId":"m","userId":7,"event":"e"}', []
    copy(tmp_path, batch(0, (b"", number[1], []), control.forget("7")))
    assert users(tmp_path) == []


def test_a_run_that_was_killed_before_erasing_is_made_good_by_the_next(tmp_path: Path) -> None:
    copy(tmp_path, batch(0, event("ann"), event("bob")))
    copy(tmp_path, batch(2, control.forget("ann")))  # and killed here
    left = tmp_path / TOPIC / "partition=0" / ".00.parquet.1.partial"
    left.write_bytes(b"ann")
    assert b"ann" in everything(tmp_path)
    Forgotten(tmp_path, TOPIC).erase()
    assert b"ann" not in everything(tmp_path)
    erased = Erased()
    Forgotten(tmp_path, TOPIC).erase(erased)
    assert erased == Erased(0, 0), "doing it again finds nothing to do"


def test_what_is_copied_again_to_fill_a_gap_leaves_the_user_out(tmp_path: Path) -> None:
    first = batch(0, event("ann"), event("bob"))
    copy(tmp_path, first)
    copy(tmp_path, batch(2, control.forget("ann")))
    Forgotten(tmp_path, TOPIC).erase()
    held = PartitionArchive(tmp_path, TOPIC, 0)
    held.path(Span(0, 2)).unlink()
    copy(tmp_path, first)
    assert users(tmp_path) == [(1, "bob")]


def test_a_file_that_is_not_parquet_is_set_aside_and_reported(tmp_path: Path) -> None:
    copy(tmp_path, batch(0, event("bob"), control.forget("ann")))
    broken = PartitionArchive(tmp_path, TOPIC, 0).path(Span(7, 9))
    broken.write_bytes(b"PAR1 ann")
    erased = Erased()
    Forgotten(tmp_path, TOPIC).erase(erased)
    assert not broken.exists()
    kept = broken.parent / "damaged" / broken.name
    assert kept.read_bytes() == b"PAR1 ann"
    assert (erased.unread, erased.damaged) == ([], [kept])
    again = Erased()
    Forgotten(tmp_path, TOPIC).erase(again)
    assert again.damaged == [kept], "as long as it is there, every receipt names it"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_a_file_that_can_t_be_read_now_stays_and_the_erasure_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    copy(tmp_path, batch(0, event("ann"), event("bob")))
    copy(tmp_path, batch(2, control.forget("ann"), event("cid")))
    held = PartitionArchive(tmp_path, TOPIC, 0).path(Span(0, 2))
    before = held.read_bytes()
    with monkeypatch.context() as patch:
        failing(patch, held, number)
        erased = Erased()
        Forgotten(tmp_path, TOPIC).erase(erased)
        assert erased.unread == [held]
        with pytest.raises(TransientError, match="nothing was deleted"):
            Forgotten(tmp_path, TOPIC).erase()
        with pytest.raises(TransientError, match="nothing was deleted"):
            users(tmp_path)
        assert PartitionArchive(tmp_path, TOPIC, 0).missing(0, 4) == [], "it isn't written over"
    assert held.read_bytes() == before
    erased = Erased()
    Forgotten(tmp_path, TOPIC).erase(erased)
    assert (erased.records, erased.unread) == (1, []), "the next run makes it good"
    assert users(tmp_path) == [(1, "bob"), (3, "cid")]


def failing(patch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Reading the file fails as a system call may, whoever asks."""
    read_bytes, schema = Path.read_bytes, pl.read_parquet_schema

    def fail(source: object, read: Callable[[object], object]) -> object:
        if source == path:
            raise OSError(number, "it fails")
        return read(source)

    patch.setattr(Path, "read_bytes", lambda one: fail(one, read_bytes))
    patch.setattr(pl, "read_parquet_schema", lambda one: fail(one, schema))


def test_nothing_on_the_disk_tells_whom(tmp_path: Path) -> None:
    copy(tmp_path, batch(0, control.forget("ann")))
    Forgotten(tmp_path, TOPIC).erase()
    assert len(Forgotten(tmp_path, TOPIC)) == 1
    assert b"ann" not in everything(tmp_path)


def test_tombstones_that_can_t_be_read_stop_the_archive(tmp_path: Path) -> None:
    copy(tmp_path, batch(0, control.forget("ann")))
    (tmp_path / TOPIC / FILE).write_bytes(b"{")
    with pytest.raises(ConfigError, match="could come back"):
        Forgotten(tmp_path, TOPIC)

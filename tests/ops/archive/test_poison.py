"""A record that makes a stage raise stops no training: the worker left it out as well."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ops.archive import files
from ops.archive.refused_records import FILE, read_refused
from ops.archive.rerun import rerun
from ops.training.samples import LabelRules, Samples, collect
from schemas.errors import ConfigError
from schemas.events.codec import EventDecoder
from streams.histories import histories
from streams.ingest.decode import BatchDecoder
from streams.ingest.isolation import TooManyFailuresError
from streams.settings import Limits, Settings
from tests.ops.training.shop_log import archive_shop

AT = 1_111
"""Of partition 0: an event like any other."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    archive_shop(tmp_path, events=3_000)
    return tmp_path


def part(archive: Path) -> files.PartitionArchive:
    return files.partitions(archive, "events")[0]


def without(archive: Path) -> None:
    """Take the record out of the archive."""
    (span,) = part(archive).spans()
    frame = files.read_file(part(archive).path(span))
    part(archive).store(part(archive).path(span), frame.filter(pl.col("offset") != AT))


def message(archive: Path) -> int:
    """The record's message as the kernel sees it."""
    (batch,) = [b for b in part(archive).read(1) if b.first_offset == AT]
    decoder = BatchDecoder(EventDecoder(Settings().product_contract()))
    return int(decoder.decode(batch).columns.message_hashes.astype(np.uint32)[0])


def poison(monkeypatch: pytest.MonkeyPatch, *messages: int) -> None:
    """A kernel that stumbles over these messages after it has changed rows."""
    apply_events = histories.apply_events

    def stumbling(rows: Any, events: Any, *more: Any) -> Any:
        answer = apply_events(rows, events, *more)
        if np.isin(events.messages.astype(np.uint32), messages).any():
            raise FloatingPointError("stumbled")
        return answer

    monkeypatch.setattr(histories, "apply_events", stumbling)


def trained_on(archive: Path) -> Samples:
    return collect(rerun(archive, Settings())[1], LabelRules())


def same(one: Samples, other: Samples) -> bool:
    corpora = [(one.corpus, other.corpus), (one.corpus.points, other.corpus.points)]
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name))
        for a, b in corpora
        for f in fields(a)
        if f.name != "points"
    )


def test_training_goes_on_with_one_record_less(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, whole = message(archive), trained_on(archive)
    with monkeypatch.context() as patch:
        poison(patch, number)
        found = trained_on(archive)
    assert len(found.corpus) == len(whole.corpus) - 1
    without(archive)
    assert same(found, trained_on(archive))


def test_what_the_workers_refused_is_skipped(archive: Path) -> None:
    (archive / "events" / FILE).write_text(json.dumps({"0": [AT]}))
    found = trained_on(archive)
    (archive / "events" / FILE).unlink()
    assert not same(found, trained_on(archive))
    without(archive)
    assert same(found, trained_on(archive))


def test_a_list_of_refused_records_that_can_t_be_read_is_no_empty_one(archive: Path) -> None:
    assert read_refused(archive, "events") == {}
    (archive / "events" / FILE).write_text("[")
    with pytest.raises(ConfigError, match="takes in what the workers refused"):
        rerun(archive, Settings())


def test_code_that_fails_on_every_record_stops_the_training(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "apply_events", lambda *_: 1 / 0)
    few = Settings(limits=Limits(max_failures=3))
    with pytest.raises(TooManyFailuresError):
        collect(rerun(archive, few)[1], LabelRules())

"""Records become columns and are cut into batches without losing a field or an offset."""

from __future__ import annotations

from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.record_batch import cut, fold

offsets = st.sets(st.integers(0, 400), min_size=1, max_size=120).map(sorted)


def record(offset: int) -> ConsumerRecord[bytes, bytes]:
    headers = (("ce_id", b"%d" % offset),) if offset % 3 == 0 else ()
    return ConsumerRecord(
        "t", 2, offset, 1000 + offset, 0, b"k%d" % offset, b"v%d" % offset, None, 1, 1, headers
    )


def test_folding_keeps_every_field_of_every_record():
    batch = fold("t", 2, [record(3), record(5)])
    assert (batch.topic, batch.partition, batch.first_offset, batch.last_offset) == ("t", 2, 3, 5)
    assert list(batch.timestamps) == [1003, 1005]
    assert list(batch.keys) == [b"k3", b"k5"]
    assert list(batch.values) == [b"v3", b"v5"]
    assert list(batch.headers) == [(("ce_id", b"3"),), ()]
    assert len(batch) == 2


@given(offsets, st.integers(0, 50), st.integers(1, 50))
def test_cutting_loses_nothing_and_leaves_no_hole(at, gap, max_records):
    next_offset = at[-1] + 1 + gap
    parts = list(cut("t", 2, [record(offset) for offset in at], next_offset, max_records))
    assert [offset for batch, _ in parts for offset in batch.offsets] == at
    assert all(len(batch) <= max_records for batch, _ in parts)
    follows = [follow for _, follow in parts]
    assert follows == [batch.first_offset for batch, _ in parts[1:]] + [next_offset]
    assert all(batch.last_offset < follow for batch, follow in parts)


@given(offsets, st.integers(0, 401))
def test_since_keeps_what_is_not_below_an_offset(at, offset):
    rest = fold("t", 2, [record(each) for each in at]).since(offset)
    kept = [each for each in at if each >= offset]
    if not kept:
        assert rest is None
        return
    assert list(rest.offsets) == kept
    assert list(rest.values) == [b"v%d" % each for each in kept]
    assert (rest.first_offset, rest.last_offset) == (kept[0], kept[-1])

"""A user who is forgotten leaves nothing behind but a tombstone."""

from __future__ import annotations

from dataclasses import replace

from schemas.events.kinds import Kind
from schemas.outputs import Alert
from streams.checkpoints.capture import Captured, capture, retain
from tests.streams.checkpoints.workers import Topics, Worker
from tests.streams.event_logs import START_S, Record, numbered

WHO = "somebody@example.org"


def lived() -> Worker:
    """A worker that knows the user from events, lists, alerts, and labels old and pending."""
    told = [
        Record(user=WHO, kind=Kind.CART, items=("shoe",)),
        Record(user="other", kind=Kind.CART, items=("hat",)),
        Record(user=WHO, message="paid", kind=Kind.PAYMENT, entities=(11, 12, 0), amount=9.0),
        Record(user=WHO, message="later", kind=Kind.PAYMENT, entities=(11, 12, 0), amount=9.0),
        Record(user=WHO, kind=Kind.LABEL, reference="paid"),
        Record(user=WHO, kind=Kind.LABEL, reference="later"),
    ]
    steps = [0, 1, 2, 3, 4_000, 8_000]
    records = [
        replace(record, time_s=START_S + step, broker_ms=(START_S + step) * 1000)
        for record, step in zip(numbered(told), steps, strict=True)
    ]
    worker = Worker()
    worker.take(records)
    alert = Alert(
        "id", f"risk/{WHO}", "risk", WHO, "firing", "warning", 0.9, 0.8, [], [],
        "2026-11-22T12:00:00Z", None, "v", "2026-11-22T12:00:00Z",
    )  # fmt: skip
    worker.state.recall([alert])
    return worker


def everything(captured: Captured) -> bytes:
    saved = captured.encode()
    return b"".join(key + (value or b"") for key, value in [*saved.rows, *saved.parts])


def test_the_user_is_known_everywhere_first() -> None:
    worker = lived()
    assert worker.state.counters.labelled[WHO][0] == 1
    assert [p.label_users for p in worker.state.counters.pending if p.label_users] == [[WHO]]
    assert len(worker.state.books["risk"]) == 1
    assert everything(capture(worker.state)).count(WHO.encode()) == 4


def test_nothing_captured_after_it_names_the_user_but_tombstones() -> None:
    worker = lived()
    worker.state.forget(WHO)
    captured = capture(worker.state)
    saved = captured.encode()
    assert (WHO.encode(), None) in saved.rows
    assert (f"incidents/risk/{WHO}".encode(), None) in saved.parts
    assert everything(captured).count(WHO.encode()) == 2
    assert everything(capture(worker.state)).count(WHO.encode()) == 0
    assert worker.state.histories.known() == ["other"]
    assert len(worker.state.books["risk"]) == 0
    assert worker.state.sent.lists[0] == 0, "the forgotten user's"
    assert worker.state.sent.lists[1] != 0


def test_a_capture_that_was_not_written_names_the_user_no_more() -> None:
    worker, topics = lived(), Topics()
    captured = capture(worker.state)
    worker.state.forget(WHO)
    retain(worker.state, captured)
    topics.write(capture(worker.state).encode())
    assert topics.rows.pop(WHO.encode()) is None
    assert topics.parts.pop(f"incidents/risk/{WHO}".encode()) is None
    assert WHO not in repr(topics.rows) + repr(topics.parts)


def test_a_user_who_was_never_known_leaves_a_tombstone_too() -> None:
    worker = Worker()
    worker.state.forget("nobody")
    assert capture(worker.state).encode().rows == [(b"nobody", None)]


def test_the_pending_label_of_a_forgotten_user_still_counts_for_the_entities() -> None:
    forgotten, kept = lived(), lived()
    forgotten.state.forget(WHO)
    end = replace(Record(user="end"), offset=9_000, broker_ms=(START_S + 99_000) * 1000)
    for worker in (forgotten, kept):
        worker.take([end])
    tables = [w.state.counters.entities._table.tobytes() for w in (forgotten, kept)]
    assert tables[0] == tables[1]
    assert WHO not in forgotten.state.counters.labelled
    assert kept.state.counters.labelled[WHO][0] == 2


def test_a_forgotten_user_who_comes_back_starts_afresh() -> None:
    worker = lived()
    worker.state.forget(WHO)
    again = Record(user=WHO, kind=Kind.CART, items=("shoe",), offset=50, time_s=START_S + 9_000)
    worker.take([replace(again, broker_ms=(START_S + 9_000) * 1000)])
    row = worker.state.histories.row(WHO)
    assert row is not None
    assert row["events"][0] == 1
    assert capture(worker.state).encode().rows[-1][1] is not None

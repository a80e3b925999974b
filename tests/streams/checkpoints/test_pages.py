"""A checkpoint costs what changed since the last one, not what there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streams.checkpoints.capture import capture, retain
from streams.counters.pages import PAGE_ROWS, Written, fill, pages
from tests.streams.checkpoints.workers import Topics, Worker
from tests.streams.event_logs import START_S, Record, numbered


def visits(items: list[str], start: int) -> list[Record]:
    """A block of its own for each."""
    return [
        replace(record, offset=start + i * 2048, broker_ms=(START_S + start + i) * 1000)
        for i, record in enumerate(
            numbered([Record(user=f"u{item}", items=(item,)) for item in items])
        )
    ]


def test_only_pages_with_touched_items_are_written_again() -> None:
    worker, topics = Worker(max_users=10_000, max_items=10_000), Topics()
    worker.take(visits([f"i{number}" for number in range(3 * PAGE_ROWS)], 0))
    worker.take(visits(["i0"], 10_000_000))
    topics.write(capture(worker.state).encode())
    nothing = capture(worker.state)
    assert (nothing.users, nothing.leavers, nothing.items, nothing.tables) == ([], [], [], [])
    worker.take(visits(["i3", f"i{PAGE_ROWS + 7}", "i0"], 20_000_000))
    captured = capture(worker.state)
    assert [name for name, _ in captured.tables] == ["covisits/0", "covisits/1"]
    assert sorted(captured.users) == ["ui0", f"ui{PAGE_ROWS + 7}", "ui3"]
    retain(worker.state, captured)
    again = capture(worker.state)
    assert again.tables == captured.tables
    topics.write(again.encode())
    restored = Worker(max_users=10_000, max_items=10_000)
    topics.restore(restored)
    assert restored.users() == worker.users()
    first = capture(restored.state)
    assert (first.users, first.items, first.tables) == ([], [], []), "all of it is written already"


def test_rows_that_leave_at_the_front_do_not_move_the_others() -> None:
    numbers = np.arange(5 * PAGE_ROWS)
    whole = dict(pages("t", (numbers,)))
    rest = dict(pages("t", (numbers[PAGE_ROWS + 3 :],), first=PAGE_ROWS + 3))
    assert list(rest) == ["t/1", "t/2", "t/3", "t/4"]
    assert all(rest[name] == whole[name] for name in ("t/2", "t/3", "t/4"))
    again = np.zeros(4 * PAGE_ROWS - 3, np.int64)
    fill("t", (again,), rest, first=PAGE_ROWS + 3)
    assert (again == numbers[PAGE_ROWS + 3 :]).all()
    written = Written()
    written.changes(list(whole.items()))
    assert [name for name, _ in written.changes(list(rest.items()))] == ["t/1", "t/0"]

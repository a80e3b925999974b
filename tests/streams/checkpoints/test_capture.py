"""What a checkpoint captures is the whole state: a worker restored from it goes on the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.checkpoints.capture import capture, retain
from tests.example_count import example_count
from tests.streams.checkpoints.workers import NOISE, Topics, Worker
from tests.streams.event_logs import Record, cut_logs

BOUNDS = {"max_users": 3, "max_items": 3, "max_entities": 2, "max_payments": 2}


def check(
    batches: list[list[Record]], captures: set[int], moves: set[int], bounds: dict[str, int]
) -> None:
    """Capture before batches, move to other workers before some: nobody can tell."""
    whole = Worker(**bounds)
    for batch in batches:
        whole.take(batch)
    topics, worker, said = Topics(), Worker(**bounds), []
    moved = 0
    for number, batch in enumerate(batches):
        if number in captures or number in moves:
            captured = capture(worker.state)
            if number % 3 == 2 and number not in moves:
                retain(worker.state, captured)  # as if the broker was away
            else:
                topics.write(captured.encode())
        if number in moves:
            said += worker.said
            moved += 1
            worker = Worker(NOISE if moved % 2 else (), **bounds)
            assert topics.restore(worker, step=1 + number) == worker.state.next_offset
        worker.take(batch)
    assert said + worker.said == whole.said
    assert worker.users() == whole.users()
    assert worker.state.histories.evicted == whole.state.histories.evicted
    assert worker.state.next_offset == whole.state.next_offset
    assert worker.state.last_broker_ms == whole.state.last_broker_ms


@settings(max_examples=example_count(60), deadline=None)
@given(
    cut=cut_logs(users=5, max_records=40),
    captures=st.sets(st.integers(0, 9)),
    moves=st.sets(st.integers(0, 9), min_size=1),
)
def test_a_restored_worker_goes_on_as_if_nothing_had_happened(
    cut: tuple[list[Record], list[list[Record]]], captures: set[int], moves: set[int]
) -> None:
    check(cut[1], captures, moves, {})


@settings(max_examples=example_count(60), deadline=None)
@given(
    cut=cut_logs(users=9, max_records=40),
    captures=st.sets(st.integers(0, 9)),
    moves=st.sets(st.integers(0, 9), min_size=1),
)
def test_also_with_every_bound_reached(
    cut: tuple[list[Record], list[list[Record]]], captures: set[int], moves: set[int]
) -> None:
    check(cut[1], captures, moves, BOUNDS)

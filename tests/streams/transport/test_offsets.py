"""The committed offset is the end of what was acked without a gap, and nothing else moves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.offsets import OpenBatches, Ticket

#: Length in offsets of one delivered batch and, after it, of a stretch without records.
steps = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 300)), min_size=1, max_size=30)


def deliver(run: OpenBatches, lengths: list[tuple[int, int]], start: int) -> list[Ticket]:
    tickets, position = [], start
    for length, gap in lengths:
        position += length
        tickets.append(run.push(position))
        if gap:
            position += gap
            run.advance(position)
    return tickets


@given(steps, st.integers(0, 10**9), st.data())
def test_the_commit_is_the_acked_prefix_in_whatever_order_acks_come(lengths, start, data):
    run = OpenBatches(start)
    tickets = deliver(run, lengths, start)
    acked: set[int] = set()
    for index in data.draw(st.permutations(range(len(tickets)))):
        assert run.ack(tickets[index])
        acked.add(index)
        prefix = next((n for n in range(len(tickets)) if n not in acked), len(tickets))
        assert run.committable == (tickets[prefix - 1].next_offset if prefix else None)
        assert len(run) == len(tickets) - prefix
    assert run.committable == start + sum(map(sum, lengths))


@given(steps)
def test_a_batch_is_acked_once(lengths):
    run = OpenBatches(0)
    tickets = deliver(run, lengths, 0)
    for ticket in tickets:
        assert run.ack(ticket)
        committable = run.committable
        assert not run.ack(ticket)
        assert run.committable == committable


def test_a_ticket_of_before_a_seek_moves_nothing():
    before, after = OpenBatches(0), OpenBatches(0)
    old, new = before.push(100), after.push(100)
    assert not after.ack(old)
    assert after.committable is None
    assert after.ack(new)
    assert after.committable == 100


def test_passing_over_offsets_commits_only_when_nothing_is_open():
    run = OpenBatches(0)
    run.advance(10)
    assert run.committable == 10
    ticket = run.push(20)
    run.advance(25)
    assert run.committable == 10
    run.ack(ticket)
    assert run.committable == 25


def test_going_back_without_a_seek_is_refused():
    run = OpenBatches(0)
    run.push(20)
    with pytest.raises(ValueError, match="delivered after"):
        run.push(20)
    run.advance(5)
    assert run.push(21).next_offset == 21

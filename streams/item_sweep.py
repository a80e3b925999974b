"""Items give their place up: a flood of ids that nobody holds any more makes room for others.

A partition numbers at most `ItemNumbers.max_items` items. When the records of one more stretch of
the log might not fit, those that no history, counter or pending event holds lose their number. It
happens between two records, at multiples of `PartitionState.sweep_offsets`, so it is a function of
the log: the same after a restore, and for any cut into batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streams.partition import PartitionState
from streams.transport.record_batch import RecordBatch

_ROWS = 65_536  # of users looked at at a time


def between_sweeps(state: PartitionState, batch: RecordBatch) -> Iterator[RecordBatch]:
    """The batch in log order, cut where items may give their place up, which they do before it.

    Most batches come back as they are. Apply each part, and set `state.next_offset`, before the
    next is taken.
    """
    before, begin = state.next_offset - 1, 0
    while begin < len(batch):
        stretch = batch.offsets[begin] // state.sweep_offsets
        if before // state.sweep_offsets != stretch:
            give_up_items(state)
        end = bisect_left(batch.offsets, (stretch + 1) * state.sweep_offsets, begin + 1)
        yield batch if end - begin == len(batch) else batch.part(begin, end)
        before, begin = batch.offsets[end - 1], end


def give_up_items(state: PartitionState) -> None:
    """Take the numbers of items that nobody holds back, if there may soon be too few."""
    numbers = state.histories.numbers
    if numbers.taken + state.sweep_offsets > numbers.max_items:
        numbers.keep(_held(state))


def _held(state: PartitionState) -> npt.NDArray[np.bool_]:
    """Bool (numbers + 1,): which are in histories, counters or pending events; the last is -1's."""
    held = np.zeros(len(state.histories.numbers) + 1, np.bool_)
    rows = state.histories.user_rows.rows
    for begin in range(0, len(rows), _ROWS):
        some = rows[begin : begin + _ROWS]
        inside = np.arange(state.histories.length) < some["length"][:, None]  # (users, L)
        held[some["item"][inside]] = True
    covisits = state.counters.covisits
    for items in (*covisits.numbers(), covisits.leaders, covisits.hottest):
        held[items] = True
    for pending in state.counters.pending:
        held[pending.items] = True
        held[pending.before] = True
    return held

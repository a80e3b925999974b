"""The sweep of item numbers: items that no state refers to lose their numbers to new items.

A partition numbers at most `ItemNumbers.max_items` items. If the next stretch of the log might need
more numbers than are free, items that no history, counter or pending event refers to lose theirs.
This happens between two records, at multiples of `PartitionState.sweep_offsets`. So it is a
function of the log: the same after a restore, and for any cut into batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streams.partition import PartitionState
from streams.transport.record_batch import RecordBatch

_ROWS = 65_536  # users per step of the search


def between_sweeps(state: PartitionState, batch: RecordBatch) -> Iterator[RecordBatch]:
    """Cut a batch at the offsets of sweeps -> parts in log order; sweeps before a part if due.

    Most batches are returned whole. The caller must apply each part and set `state.next_offset`
    before it asks for the next part.
    """
    before, begin = state.next_offset - 1, 0
    while begin < len(batch):
        stretch = batch.offsets[begin] // state.sweep_offsets
        if before // state.sweep_offsets != stretch:
            sweep_items(state)
        end = bisect_left(batch.offsets, (stretch + 1) * state.sweep_offsets, begin + 1)
        yield batch if end - begin == len(batch) else batch.part(begin, end)
        before, begin = batch.offsets[end - 1], end


def sweeps(state: PartitionState, batch: RecordBatch) -> bool:
    """Whether a sweep comes before the batch or inside it."""
    before, distance = state.next_offset - 1, state.sweep_offsets
    return before // distance != batch.last_offset // distance


def sweep_items(state: PartitionState) -> None:
    """Free the numbers of items that no state refers to, if free numbers may run out."""
    numbers = state.histories.numbers
    if numbers.taken + state.sweep_offsets > numbers.max_items:
        numbers.keep(_held(state))


def _held(state: PartitionState) -> npt.NDArray[np.bool_]:
    """Bool (numbers + 1,): whether histories, counters or pending events use a number.

    The last entry belongs to the number -1.
    """
    held = np.zeros(len(state.histories.numbers) + 1, np.bool_)
    rows = state.histories.user_rows.rows
    for begin in range(0, len(rows), _ROWS):
        users = rows[begin : begin + _ROWS]
        inside = np.arange(state.histories.length) < users["length"][:, None]  # (users, L)
        held[users["item"][inside]] = True
    covisits = state.counters.covisits
    for items in (*covisits.numbers(), covisits.leaders, covisits.hottest):
        held[items] = True
    for pending in state.counters.pending:
        held[pending.items] = True
        held[pending.before] = True
    return held

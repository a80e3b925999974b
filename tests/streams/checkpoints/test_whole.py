"""Nothing that the counters keep is left out of a checkpoint, of what is added later too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.events.kinds import Kind
from streams.checkpoints.capture import capture
from streams.counters.decay import Decay
from tests.streams.checkpoints.workers import Topics, Worker
from tests.streams.event_logs import START_S, Record, numbered

SETTINGS = {
    "Counters": {"policy", "candidates", "max_labelled"},
    "Covisits": {"max_items", "window", "_n_leaders"},
    "Entities": {"max_entities"},
    "LabelQueue": {"max_payments", "delay_s", "entities", "_row_type", "_capacity"},
}
"""Attributes that are no state: both workers have them from the same settings."""
PLACES = {"LabelQueue": {"_rows", "_head", "_tail"}}
"""Where something lies is no state either: what lies there is compared below."""


def busy() -> Worker:
    """A worker every part of whose state has something in it."""
    told = []
    for i in range(400):
        day = START_S + i * 9_000
        told += [
            Record(user=f"u{i % 7}", items=(f"item-{i % 50}",), time_s=day),
            Record(
                user=f"u{i % 7}",
                kind=Kind.PAYMENT,
                message=f"p{i}",
                entities=(i % 60 + 1, 500 + i % 3, 0),
                amount=5.0 + i % 9,
                time_s=day + 1,
            ),
        ]
        if i % 5 == 4:
            label = Record(user=f"u{(i - 2) % 7}", kind=Kind.LABEL, time_s=day + 2)
            told += [replace(label, reference=f"p{i - 2}"), replace(label, reference="unknown")]
    worker = Worker(max_items=40, max_entities=55, max_payments=30)
    records = [
        replace(record, offset=i * 60, broker_ms=START_S * 1000 + i)
        for i, record in enumerate(numbered(told))
    ]
    for begin in range(0, len(records), 100):
        worker.take(records[begin : begin + 100])
    return worker


def known(value: Any) -> Any:
    """What can be compared; arrays without the spare room at their end."""
    if isinstance(value, Decay):
        return value.landmark_s
    if isinstance(value, dict):
        return {key: known(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        rows = value.tolist()
        while rows and rows[-1] in ([], 0, -1, [-1] * 32, [0.0] * 32, [-1] * 64, [0.0] * 64):
            rows.pop()
        while rows and isinstance(rows[-1], tuple) and not any(np.ravel(rows[-1])):
            rows.pop()
        return rows
    if isinstance(value, list):
        return [repr(one) for one in value]
    return value


@pytest.mark.parametrize("name", SETTINGS)
def test_every_attribute_comes_back(name: str) -> None:
    worker, new, fresh = (
        busy(),
        *(Worker(max_items=40, max_entities=55, max_payments=30) for _ in range(2)),
    )
    topics = Topics()
    topics.write(capture(worker.state).encode())
    topics.restore(new)
    mine, theirs, empty = (
        next(part for part in parts(one) if type(part).__name__ == name)
        for one in (worker, new, fresh)
    )
    for attribute, value in vars(mine).items():
        if attribute in SETTINGS[name] | PLACES.get(name, set()):
            continue
        if type(value).__name__ in {*SETTINGS, "Undo"}:
            continue
        saved = known(value)
        assert saved != known(vars(empty)[attribute]), f"{attribute}: this log leaves it empty"
        assert known(vars(theirs)[attribute]) == saved, f"{attribute} is not captured"


def test_so_do_the_waiting_payments() -> None:
    worker, new, topics = busy(), Worker(max_items=40, max_entities=55, max_payments=30), Topics()
    topics.write(capture(worker.state).encode())
    topics.restore(new)
    waiting = [
        queue._rows[queue._head : queue._tail].tobytes()
        for queue in (worker.state.counters.queue, new.state.counters.queue)
    ]
    assert waiting[0] == waiting[1] != b""


def parts(worker: Worker) -> list[Any]:
    counters = worker.state.counters
    return [counters, counters.covisits, counters.entities, counters.queue]

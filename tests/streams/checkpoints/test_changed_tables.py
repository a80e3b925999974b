"""A checkpoint outlives a change of settings, and the version before this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.errors import StateError
from streams.checkpoints.capture import capture
from streams.checkpoints.head import Head
from streams.counters.label_queue import payment_type
from tests.streams.checkpoints.test_whole import busy
from tests.streams.checkpoints.workers import Topics, Worker
from tests.streams.event_logs import E

BOUNDS = {"max_items": 40, "max_entities": 55, "max_payments": 30}
OLD = Path(__file__).parent / "released" / "checkpoint-0.1.0.msgpack"


def saved() -> tuple[Worker, Topics]:
    worker, topics = busy(), Topics()
    topics.write(capture(worker.state).encode())
    return worker, topics


def neighbours(worker: Worker) -> list[set[tuple[int, float]]]:
    covisits = worker.state.counters.covisits
    pairs = zip(
        covisits._neighbours[: len(covisits)].tolist(),
        covisits._weights[: len(covisits)].tolist(),
        strict=True,
    )
    return [{(n, w) for n, w in zip(*row, strict=True) if w > 0} for row in pairs]


def test_more_neighbours_an_item_keep_users_and_pairs() -> None:
    worker, topics = saved()
    wider = Worker(covisit_neighbours=48, **BOUNDS)
    topics.restore(wider)
    assert wider.users() == worker.users()
    assert wider.state.counters.covisits._weights.shape[1] == 48
    assert neighbours(wider) == neighbours(worker)


def test_fewer_neighbours_an_item_keep_the_strongest() -> None:
    worker, topics = saved()
    narrower = Worker(covisit_neighbours=3, **BOUNDS)
    topics.restore(narrower)
    assert narrower.users() == worker.users()
    for few, many in zip(neighbours(narrower), neighbours(worker), strict=True):
        assert few <= many
        assert sorted(w for _, w in few) == sorted(w for _, w in many)[-3:]


@pytest.mark.parametrize("entities", [1, E + 2])
def test_other_entities_an_event_keep_users_and_payments(entities: int) -> None:
    worker, topics = saved()
    other = Worker(entities=entities, **BOUNDS)
    topics.restore(other)
    assert other.users() == worker.users()
    before, after = (w.state.counters.queue for w in (worker, other))
    waiting, now = (q._rows[q._head : q._tail] for q in (before, after))
    assert now["message"].tolist() == waiting["message"].tolist()
    shared = min(E, entities)
    np.testing.assert_array_equal(now["entities"][:, :shared], waiting["entities"][:, :shared])
    assert not now["entities"][:, shared:].any()
    assert {p.payments.entities.shape[1] for p in other.state.counters.pending} <= {entities}


def test_a_restored_state_of_other_tables_is_saved_and_restored_again() -> None:
    _, topics = saved()
    wider = Worker(covisit_neighbours=48, entities=5, **BOUNDS)
    topics.restore(wider)
    topics.write(capture(wider.state).encode())
    again = Worker(covisit_neighbours=48, entities=5, **BOUNDS)
    topics.restore(again)
    assert again.users() == wider.users()
    assert neighbours(again) == neighbours(wider)


def test_a_table_of_an_unknown_layout_starts_empty_and_users_stay() -> None:
    worker, topics = saved()
    marker = msgspec.json.decode(topics.parts[b"marker"] or b"")
    marker["shape"] |= {"tables": "other"}
    marker["shape"]["layouts"] |= {"covisits": "other"}
    topics.parts[b"marker"] = msgspec.json.encode(marker)
    new = Worker(**BOUNDS)
    topics.restore(new)
    assert new.users() == worker.users()
    assert len(new.state.counters.covisits) == 0
    assert len(new.state.counters.entities) == len(worker.state.counters.entities)


def old() -> tuple[Head, Topics]:
    found: dict[str, Any] = msgspec.msgpack.decode(OLD.read_bytes())
    topics = Topics()
    topics.rows, topics.parts = dict(found["rows"]), dict(found["parts"])
    return Head.decode(found["head"]), topics


def test_a_checkpoint_of_version_0_1_is_gone_on_from() -> None:
    head, topics = old()
    assert (head.alerts_from, head.letters_from) == (-1, -1), "both topics are read whole"
    rows = dict(topics.rows)
    worker = Worker(**BOUNDS)
    assert topics.restore(worker) == head.offset
    users = worker.state.histories.user_rows
    users.touch_users(users.users())
    captured = capture(worker.state).encode()
    assert dict(captured.rows) == rows
    assert list(dict(captured.parts)) == [b"counters", b"marker"], "no page of a table changed"


def test_a_checkpoint_of_version_0_1_fits_its_own_settings_only() -> None:
    _, topics = old()
    with pytest.raises(StateError, match="tables"):
        topics.restore(Worker(covisit_neighbours=48, **BOUNDS))


def test_payments_lie_as_they_did() -> None:
    assert payment_type(3).itemsize == 8 + 3 * 8 + 8 + 2

"""The counters as records of a checkpoint: tables in pages, everything else in a single record.

Rows of the tables keep their places, so that ties are evicted in the same order after a restore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import StateError
from streams.counters.counters import Counters
from streams.counters.decay import Decay
from streams.counters.entities import Entities
from streams.counters.item_counts import Covisits
from streams.counters.label_queue import LabelQueue, payment_type, with_width
from streams.counters.pages import Columns, fill, pages
from streams.counters.pending import Pending

REST = "counters"
_WEIGHTS = 5  # index of the weights among the columns of `Covisits`
LABELLED_PAGE = 4096  # labelled users per record


class CovisitsRest(msgspec.Struct):
    """The part of `Covisits` that isn't in its table."""

    used: int
    evicted: int
    clock_s: int
    leaders: npt.NDArray[np.int32]
    hottest: npt.NDArray[np.int32]
    landmarks: list[int | None]


class EntitiesRest(msgspec.Struct):
    """The part of `Entities` that isn't in its table."""

    used: int
    evicted: int
    landmarks: list[int | None]


class QueueRest(msgspec.Struct):
    """The part of `LabelQueue` that isn't in its table."""

    waiting: int
    gone: int
    hurried: int
    unmatched: int


class Rest(msgspec.Struct):
    """The part of `Counters` that isn't in a table."""

    clock_s: int
    block: tuple[int, int] | None
    pending: list[Pending]
    labelled: int
    covisits: CovisitsRest
    entities: EntitiesRest
    queue: QueueRest


def capture(counters: Counters) -> tuple[list[tuple[str, bytes]], Rest]:
    """A copy of the counters: the tables in pages by key, and the rest."""
    covisits, entities, queue = counters.covisits, counters.entities, counters.queue
    labelled = list(counters.labelled.items())
    tables = [
        *pages("covisits", covisits.columns()),
        *pages("entities", _entity_columns(entities, len(entities))),
        *pages("payments", _queue_columns(queue), queue._gone),
        *(
            (f"labelled/{number}", msgspec.msgpack.encode(labelled[begin : begin + LABELLED_PAGE]))
            for number, begin in enumerate(range(0, len(labelled), LABELLED_PAGE))
        ),
    ]
    rest = Rest(
        counters.clock_s,
        counters.block,
        list(counters.pending),
        len(labelled),
        CovisitsRest(
            len(covisits),
            covisits.evicted,
            covisits.clock_s,
            covisits.leaders.copy(),
            covisits.hottest.copy(),
            [decay.landmark_s for decay in _covisit_decays(covisits)],
        ),
        EntitiesRest(
            len(entities),
            entities.evicted,
            [decay.landmark_s for decay in entities._decays.values()],
        ),
        QueueRest(len(queue), queue._gone, queue.hurried, queue.unmatched),
    )
    return tables, rest


def layout(counters: Counters) -> str:
    """The layout of all tables' columns, as text."""
    return str(
        [
            (name, [(column.dtype.descr, column.shape[1:]) for column in columns])
            for name, columns in _tables(counters).items()
        ]
    )


def layouts(counters: Counters) -> dict[str, str]:
    """The layout of each table's columns, as text, without the widths that settings decide."""
    return {
        name: str([([field[:2] for field in c.dtype.descr], c.ndim) for c in columns])
        for name, columns in _tables(counters).items()
    }


def _tables(counters: Counters) -> dict[str, Columns]:
    return {
        "covisits": counters.covisits.columns(),
        "entities": _entity_columns(counters.entities, 0),
        "payments": _queue_columns(counters.queue),
    }


@dataclass(frozen=True, slots=True)
class Saved:
    """How the saved tables differ from this worker's tables.

    Attributes
    ----------
    neighbours, entities
        Neighbours per item and entities per payment in the saved tables.
    unknown
        Tables with another layout; they start empty.
    """

    neighbours: int
    entities: int
    unknown: frozenset[str] = frozenset()


def encode(rest: Rest) -> bytes:
    """The value of the record of the rest."""
    return msgspec.msgpack.encode(rest, enc_hook=_plain)


def restore(counters: Counters, parts: Mapping[str, bytes], saved: Saved | None = None) -> None:
    """Fill empty counters from captured records.

    Parameters
    ----------
    counters
        Empty.
    parts
        Records by key.
    saved
        How the saved tables differ, if they do: narrower tables are padded, wider tables lose the
        weakest neighbours and the last entities.

    Raises
    ------
    StateError
        A record is missing or doesn't fit.
    """
    try:
        rest = msgspec.msgpack.decode(parts.get(REST, b""), type=Rest, dec_hook=_array)
        labelled = [
            pair
            for number in range(-(-rest.labelled // LABELLED_PAGE))
            for pair in msgspec.msgpack.decode(
                parts.get(f"labelled/{number}", b""), type=list[tuple[str, tuple[int, int]]]
            )
        ]
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise StateError(f"counters: a record can't be read: {error}") from None
    if len(labelled) != rest.labelled:
        raise StateError(f"counters: {len(labelled)} labelled users, not {rest.labelled}")
    width = counters.queue.entities
    saved = saved or Saved(counters.covisits.width, width)
    counters.clock_s, counters.block = rest.clock_s, rest.block
    counters.pending = [pending.with_entities(width) for pending in rest.pending]
    counters.labelled = dict(labelled)
    if "covisits" not in saved.unknown:
        _restore_covisits(counters.covisits, rest.covisits, parts, saved.neighbours)
    if "entities" not in saved.unknown:
        _restore_entities(counters.entities, rest.entities, parts)
    if "payments" not in saved.unknown:
        _restore_queue(counters.queue, rest.queue, parts, saved.entities)


def _restore_covisits(
    covisits: Covisits, rest: CovisitsRest, parts: Mapping[str, bytes], neighbours: int
) -> None:
    while len(covisits._items) < rest.used:
        covisits._grow()
    covisits._used = rest.used
    found = covisits.columns()
    if neighbours == covisits.width:
        fill("covisits", found, parts)
    else:
        wide = [np.zeros((rest.used, *(neighbours,) * (c.ndim - 1)), c.dtype) for c in found]
        fill("covisits", wide, parts)
        strongest = np.argsort(-wide[_WEIGHTS], axis=1, kind="stable")[:, : covisits.width]
        for column, values in zip(found, wide, strict=True):
            if column.ndim == 1:
                column[:] = values
            else:
                kept = np.take_along_axis(values, strongest, axis=1)
                column[:, : kept.shape[1]] = kept
    items = covisits.columns()[0]
    most = int(items.max(initial=0)) + 2
    covisits._row_of = np.full(max(len(covisits._row_of), most), -1, np.int32)
    covisits._row_of[items] = np.arange(rest.used)
    covisits.evicted, covisits.clock_s = rest.evicted, rest.clock_s
    covisits.leaders, covisits.hottest = rest.leaders, rest.hottest
    _set_landmarks(_covisit_decays(covisits), rest.landmarks)


def _restore_entities(entities: Entities, rest: EntitiesRest, parts: Mapping[str, bytes]) -> None:
    entities.make_rows(rest.used)
    fill("entities", _entity_columns(entities, rest.used), parts)
    entities.index(rest.used)
    entities.evicted = rest.evicted
    _set_landmarks(tuple(entities._decays.values()), rest.landmarks)


def _restore_queue(
    queue: LabelQueue, rest: QueueRest, parts: Mapping[str, bytes], entities: int
) -> None:
    queue.make_rows(rest.waiting, rest.gone)
    (rows,) = _queue_columns(queue)
    if entities == queue.entities:
        fill("payments", (rows,), parts, rest.gone)
    else:
        wide = np.zeros(len(rows), payment_type(entities))
        fill("payments", (wide,), parts, rest.gone)
        for name in rows.dtype.names or ():
            rows[name] = (
                with_width(wide[name], queue.entities) if name == "entities" else wide[name]
            )
    queue.index()
    queue.hurried, queue.unmatched = rest.hurried, rest.unmatched


def _entity_columns(entities: Entities, used: int) -> Columns:
    return (entities._table[:used],)


def _queue_columns(queue: LabelQueue) -> Columns:
    return (queue._rows[queue._head : queue._tail],)


def _covisit_decays(covisits: Covisits) -> tuple[Decay, ...]:
    return covisits._popularity_decay, covisits._hot_decay, covisits._visit_decay


def _set_landmarks(decays: tuple[Decay, ...], landmarks: list[int | None]) -> None:
    if len(decays) != len(landmarks):
        raise StateError(f"counters: {len(landmarks)} decays, not {len(decays)}")
    for decay, landmark_s in zip(decays, landmarks, strict=True):
        decay.landmark_s = landmark_s


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(type(value))


def _array(_: type, value: Any) -> Any:
    dtype, shape, data = value
    return np.frombuffer(data, dtype).reshape(shape).copy()  # kernels need writable arrays

"""Orders without a clock as a log that a worker reads, and every user asked at one moment of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from models.engines.engine import Scores
from models.features.model_inputs import EPOCH_HOUR, HOUR_S, WEEK_HOURS, ModelInputs
from models.features.windows import Windows
from models.ranking.candidates import Pool, candidate_features
from models.ranking.ranker import Ranker
from models.registry.registry import Model
from ops.archive.rerun import BATCH_RECORDS, Rerun
from ops.evaluation.order_file import Orders
from ops.evaluation.timeline import ITEM
from ops.publish.segment import records
from schemas.topics import EVENTS
from streams.counters.counters import CANDIDATES
from streams.counters.item_view import Part
from streams.counters.suggest import LEADERS, suggest
from streams.counters.suggestions import Suggestions
from streams.histories.decision_points import PointPolicy
from streams.histories.item_table import ItemTable
from streams.serving.bound_model import BoundModel
from streams.settings import Settings

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

USERS_AT_ONCE = 512

NOW_S = (2_900 * WEEK_HOURS - EPOCH_HOUR) * HOUR_S
"""When everything happened: what has no clock has one moment, the first of a week."""
NOBODY_ASKS = PointPolicy(watch=frozenset(), ask=frozenset(), refresh_s=2**31)


@dataclass(frozen=True, slots=True)
class Moment:
    """U users, ascending, asked at once for what comes next.

    Attributes
    ----------
    windows, features
        Their histories as the worker keeps them, and features.
    part
        What the counters knew.
    """

    windows: Windows
    features: npt.NDArray[np.float64]
    part: Part


class OrderLog:
    """A worker's state, fed with orders.

    Parameters
    ----------
    n_items
        Rows 1..n, whose ids are their numbers.
    """

    def __init__(self, settings: Settings, n_items: int) -> None:
        self._state = Rerun(settings, suggest=False)
        self._state.decide_at(NOBODY_ASKS)
        self._offset = 0
        self.item_ids = [str(row) for row in range(1, n_items + 1)]
        self.indices = self.items.indices(self.item_ids)  # (N,): worker's index of row r + 1

    @property
    def items(self) -> ItemTable:
        """The worker's table."""
        return self._state.items

    def take_in(self, orders: Orders) -> None:
        """Read more events, one user after the other."""
        for first in range(0, len(orders), BATCH_RECORDS):
            here = slice(first, first + BATCH_RECORDS)
            frame = pl.DataFrame({"user_id": orders.users[here], ITEM: orders.items[here]})
            offsets = self._offset + np.arange(len(frame))
            events = frame.select(
                pl.Series("message_id", offsets).cast(pl.String),
                pl.col("user_id").cast(pl.String),
                event=pl.lit("Product Viewed"),
                time_ms=pl.lit(NOW_S * 1000),
                product=pl.col(ITEM).cast(pl.String),
            ).rename({"product": ITEM})
            self._state.feed(records(events, EVENTS.name).batch(self._offset))
            self._offset += len(frame)

    def moment(self) -> Moment:
        """Everybody, once the counters have taken in all that was read: a second later."""
        self._state.settle()
        standing = self._state.standing(NOW_S)
        order = np.argsort(np.array(standing.users, np.int64))
        return Moment(standing.windows.take(order), standing.features[order], self._state.frozen())


@dataclass(frozen=True, slots=True)
class Question:
    """Some users of a moment, asked for what comes next.

    Attributes
    ----------
    users
        int64 (U,).
    inputs, scores
        What the engine was given, and said.
    logits
        float32 (U, N + 1): the network's, of the whole catalogue.
    seen
        bool (U, N + 1): what each already had, row 0 included.
    pool
        The worker's candidates that a user didn't have yet.
    """

    users: Ints
    windows: Windows
    inputs: ModelInputs
    scores: Scores
    logits: Floats
    seen: Bools
    pool: Pool


class Asker:
    """Asks a version as the worker would, without what a user already had.

    Parameters
    ----------
    model
        Its rows are the log's items, in order.
    """

    def __init__(self, model: Model, log: OrderLog) -> None:
        self._bound = BoundModel(model, log.items)
        self._model = model
        self._indices = log.indices
        self._rows = np.zeros(len(log.items) + 1, np.int64)  # the last is for -1
        self._rows[log.indices] = np.arange(1, len(log.indices) + 1)

    def questions(self, moment: Moment, had: Orders, every: int = 1) -> Iterator[Question]:
        """Every `every`th user's question, `USERS_AT_ONCE` at a time.

        Parameters
        ----------
        had
            What all users had by then.
        """
        asked = np.arange(0, had.n_users, every)
        for start in range(0, len(asked), USERS_AT_ONCE):
            users = asked[start : start + USERS_AT_ONCE]
            windows, seen = moment.windows.take(users), had.seen(users)
            inputs = self._bound.inputs(windows, moment.features[users])
            scores = self._model.engine.score(inputs)
            logits = scores.queries @ self._model.item_table.T + self._model.item_bias
            pool = self.pool(windows, scores, seen, moment.part)
            yield Question(users, windows, inputs, scores, logits, seen, pool)

    def pool(self, windows: Windows, scores: Scores, seen: Bools, part: Part) -> Pool:
        """The candidates that the counters of `part` and the engine have for U users."""
        suggestions = Suggestions.none(len(windows), CANDIDATES + LEADERS)
        suggest(windows, np.arange(len(windows)), part, suggestions)
        pool = self._bound.pool(scores, suggestions, windows)
        had = np.take_along_axis(seen, self._rows[pool.items], axis=1)
        return replace(pool, items=np.where(had, np.int32(-1), pool.items))

    def index(self, rows: Ints) -> Ints:
        """The worker's index of items by row, from 1."""
        return self._indices[rows - 1].astype(np.int64)

    def ranked(self, asked: Question, pool: Pool, ranker: Ranker) -> Floats:
        """Scores (U, N + 1): the pool by the ranker, all others below it by the network."""
        listed = ranker.score(candidate_features(pool, asked.windows))
        top, least = asked.logits.max(axis=1), listed.min(axis=1)
        everything: Floats = asked.logits + (least - top)[:, None]
        user, place = np.nonzero(pool.items >= 0)
        everything[user, self._rows[pool.items[user, place]]] = listed[user, place]
        return everything

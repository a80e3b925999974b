"""`hark evaluate ml1m` and `beauty`: the protocol of the SASRec papers, in full.

The last item of each user is the test, the one before validates; both are ranked against the
whole catalogue without what the user had. When a test item is asked for, everything else is
known: the validation item is part of the history and of the neighbours' counts, as the worker's
live counters would have it. The network never trains on it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from models import covisitation, evaluation, export, metrics, recipe, train
from models.blend import Blend, Choice
from models.engine import Engine
from models.features import NAMES
from models.neighbours import Neighbours
from models.network import NetworkConfig
from models.onnx_engine import OnnxEngine
from models.sequences import N_GAPS, N_HOURS
from models.splits import Split, split_items
from models.train import Fitted
from ops.evaluate import Show, Task
from ops.evaluation import orders, training_curve
from ops.evaluation.orders import Orders
from ops.evaluation.report import HARK, Report, Row
from schemas.kinds import N_KINDS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

PROTOCOL = (
    "Leave-one-out: the last item of each user is the test, the one before validates; full "
    "ranking over the whole catalogue, seen items filtered."
)
USERS_AT_ONCE = 512
BLEND_USERS = 4_000
"""Users whose validation items choose the blend."""
TOP = 10
NEAR, FROZEN = "covisitation", "covisitation_frozen"
"""Neighbours counted on everything but the test items, and on the training items only."""


def ml1m(task: Task, show: Show) -> Report:
    """MovieLens-1M."""
    return leave_one_out("ml1m", task, show)


def beauty(task: Task, show: Show) -> Report:
    """Amazon Beauty."""
    return leave_one_out("beauty", task, show)


def leave_one_out(name: str, task: Task, show: Show) -> Report:
    """Train on all but two items of each user, choose on the second last, test on the last."""
    everything = orders.read(task.file)
    known, training = everything.without_last(1), everything.without_last(2)
    started = time.monotonic()
    fitted, chosen = fit(known, training, task.seed, show)
    seconds = time.monotonic() - started
    table, bias = fitted.item_table, fitted.item_bias
    engine = OnnxEngine(export.to_onnx(fitted.network, table), table, bias)
    show(None, "choosing the blend")
    blend = _blend(Asker({NEAR: training}, training, engine, fitted), known)
    show(None, "testing")
    counted = {NEAR: known, FROZEN: training}
    ranked = _rank(Asker(counted, known, engine, fitted), blend, everything)
    rows = [Row(method, ranked.figures(method, slice(None))) for method in ranked.ranks]
    return Report(
        name=name,
        protocol=PROTOCOL,
        results=rows,
        slices=_slices(ranked, training, everything),
        facts={
            "users": everything.n_users,
            "items": everything.n_items,
            "events": len(everything),
            "coverage_at_10": ranked.coverage,
            "training_seconds": round(seconds, 1),
            "network": asdict(fitted.network.config),
            "training": asdict(chosen.settings),
            "loss": chosen.loss,
            "blend": asdict(blend),
            "curve": [asdict(epoch) for epoch in fitted.curve],
            "cut_short": fitted.cut_short,
        },
        pictures={f"{name}-curve.png": training_curve.picture(fitted.curve, name)},
    )


def fit(known: Orders, training: Orders, seed: int, show: Show) -> tuple[Fitted, recipe.Recipe]:
    """Train the network the nightly way; the second last items of all users validate."""
    chosen = recipe.choose(len(training), training.n_items, seed=seed)
    corpus = orders.corpus(known)
    rows, _, _ = split_items(corpus, 0)
    held = known.from_end() == 1  # asks for the validation item
    nobody = np.zeros(len(corpus), dtype=np.bool_)
    split = Split(rows, ~held & (rows > 0), held, nobody, nobody, nobody, nobody)
    config = NetworkConfig(
        n_features=len(NAMES),
        n_kinds=N_KINDS,
        n_gaps=N_GAPS,
        n_hours=N_HOURS,
        dropout=chosen.dropout,
    )
    show(None, "starting from co-visitation")
    table = covisitation.start_table(
        training.items,
        training.users,
        training.n_items + 1,
        config.d,
        np.random.default_rng(seed),
    )
    return train.fit(corpus, split, config, table, chosen.settings, show), chosen


@dataclass(frozen=True, slots=True)
class Part:
    """Some users, asked for the next item: rows of `users` and scores (U, N + 1) by method.

    Seen items and row 0 are at minus infinity everywhere.
    """

    users: Ints
    scores: dict[str, Floats]
    seen: npt.NDArray[np.bool_]

    def filtered(self, scores: Floats) -> Floats:
        return np.where(self.seen, np.float32(-np.inf), scores)


class Asker:
    """Asks every method for each user's next item.

    Parameters
    ----------
    counted
        What neighbours are counted on, by the method's name; popularity on the first of them.
    histories
        What each user is known to have had: context of the question, filtered from the answer.
    """

    def __init__(
        self, counted: dict[str, Orders], histories: Orders, engine: Engine, fitted: Fitted
    ) -> None:
        rows = histories.n_items + 1
        self._histories, self._engine = histories, engine
        self._table, self._bias = fitted.item_table, fitted.item_bias
        self._inputs = orders.newest(histories, fitted.network.config.length)
        self._near = {
            name: Neighbours(part.items, part.users, rows) for name, part in counted.items()
        }
        first = next(iter(counted.values()))
        self._visits = np.bincount(first.items, minlength=rows).astype(np.float32)

    def parts(self, users: Ints) -> Iterator[Part]:
        """The answers for `users`, ascending, `USERS_AT_ONCE` at a time."""
        for start in range(0, len(users), USERS_AT_ONCE):
            some = users[start : start + USERS_AT_ONCE]
            inputs = self._inputs.take(some)
            logits = self._engine.score(inputs).queries @ self._table.T + self._bias
            yield Part(
                some,
                {
                    "popularity": np.broadcast_to(self._visits, logits.shape),
                    "network": _log_softmax(logits),
                    **{
                        name: near.scores(inputs.item_rows, inputs.lengths)
                        for name, near in self._near.items()
                    },
                },
                self._histories.seen(some),
            )


@dataclass(frozen=True, slots=True)
class Ranked:
    """Ranks (U,) of the test items by method, and the share of the catalogue that is shown."""

    ranks: dict[str, Ints]
    coverage: dict[str, float]

    def figures(self, method: str, users: slice | Ints) -> dict[str, evaluation.Figure]:
        ranks = self.ranks[method]
        return evaluation.ranking(ranks[users], np.arange(len(ranks))[users])


def _blend(asker: Asker, known: Orders) -> Blend:
    """The blend that ranks the validation items best, NDCG@10."""
    targets = known.items[known.from_end() == 0]
    users = np.random.default_rng(0).permutation(len(targets))[:BLEND_USERS]
    choice = Choice()
    for part in asker.parts(np.sort(users)):
        wanted = targets[part.users]

        def measure(scores: Floats, wanted: Ints = wanted) -> evaluation.Floats:
            return metrics.gains(places(scores, wanted), TOP)

        # What is filtered from the one is filtered from the blend.
        choice.see(part.filtered(part.scores["network"]), part.scores[NEAR], measure)
    return choice.best()


def _rank(asker: Asker, blend: Blend, everything: Orders) -> Ranked:
    targets = everything.items[everything.from_end() == 0]
    ranks: dict[str, list[Ints]] = {}
    shown: dict[str, npt.NDArray[np.bool_]] = {}
    for part in asker.parts(np.arange(len(targets))):
        blends = {
            name: blend.scores(part.scores["network"], part.scores[near])
            for name, near in ((HARK, NEAR), (f"{HARK}_frozen", FROZEN))
        }
        for method, scores in {**blends, **part.scores}.items():
            left = part.filtered(scores)
            ranks.setdefault(method, []).append(places(left, targets[part.users]))
            best = np.argpartition(left, -TOP, axis=1)[:, -TOP:]
            shown.setdefault(method, np.zeros(left.shape[1], np.bool_))[best] = True
    return Ranked(
        {method: np.concatenate(found) for method, found in ranks.items()},
        {method: float(rows[1:].mean()) for method, rows in shown.items()},
    )


def _slices(ranked: Ranked, training: Orders, everything: Orders) -> dict[str, list[Row]]:
    """Items visited less than most, users with less history than most."""
    targets = everything.items[everything.from_end() == 0]
    visits = np.bincount(training.items, minlength=training.n_items + 1)
    median_visits = int(np.median(visits[1:]))
    lengths = np.bincount(training.users)
    short = int(np.quantile(lengths, 0.25))
    parts: dict[str, npt.NDArray[np.bool_]] = {
        f"rare items: at most {median_visits} training events, the median": (
            visits[targets] <= median_visits
        ),
        f"short histories: at most {short} training events, the first quartile": lengths <= short,
    }
    return {
        f"{name} (n {int(mask.sum())})": [
            Row(method, ranked.figures(method, np.flatnonzero(mask))) for method in ranked.ranks
        ]
        for name, mask in parts.items()
    }


def places(scores: Floats, wanted: Ints) -> Ints:
    """Place of each wanted item from 1; of equals, half come before -> int64 (U,)."""
    own = scores[np.arange(len(wanted)), wanted][:, None]
    above, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1) - 1
    found: Ints = 1 + above + equal // 2
    return found


def _log_softmax(logits: Floats) -> Floats:
    top = logits.max(axis=1, keepdims=True)
    shifted = logits - top
    answer: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return answer

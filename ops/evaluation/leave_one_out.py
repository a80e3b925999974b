"""`hark evaluate ml1m` and `beauty`: the protocol of the SASRec papers, in full.

The last item of each user is the test, the one before validates; both are ranked against the
whole catalogue without what the user had. When a test item is asked for, everything else is
known: the validation item is part of the history and of the counters, as in a worker. The
network never trains on it, and the ranker learns from it what to make of the candidates.

Histories, counters, candidates and ranking are the worker's own (`order_log`).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.engines.onnx import OnnxEngine
from models.evaluation import intervals, metrics
from models.features.features import FEATURE_SET_HASH, NAMES
from models.features.model_inputs import N_GAPS, N_HOURS, ModelInputs
from models.network import export
from models.network.network import NetworkConfig
from models.ranking import covisitation
from models.ranking.candidates import Pool, candidate_features
from models.ranking.ranker import Ranker
from models.registry.registry import Model
from models.training import recipe, train
from models.training.labels import Split, split_items
from models.training.train import Fitted
from ops.baselines import Neighbours
from ops.evaluation import order_file, pictures
from ops.evaluation.order_file import Orders
from ops.evaluation.order_log import Asker, Moment, OrderLog
from ops.evaluation.report import HARK, Report, Row, Show, Task
from ops.training.ranking import Lessons, Ranking, choose
from schemas.events.kinds import N_KINDS
from streams.settings import Settings, load_settings

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

PROTOCOL = (
    "Leave-one-out: the last item of each user is the test, the one before validates; full "
    "ranking over the whole catalogue, seen items filtered; histories, counters, candidates and "
    "ranking as in the worker."
)
TOP = 10
NEIGHBOURS = 128
"""`state.covisit_neighbours`: the bound on memory, not the best of several."""
RANKER_POINTS = 6_000  # as `ops.evaluation.temporal`


def ml1m(task: Task, show: Show) -> Report:
    """MovieLens-1M."""
    return leave_one_out("ml1m", task, show)


def beauty(task: Task, show: Show) -> Report:
    """Amazon Beauty."""
    return leave_one_out("beauty", task, show)


def leave_one_out(name: str, task: Task, show: Show) -> Report:
    """Train on all but two items of each user, choose on the second last, test on the last."""
    everything = order_file.read(task.file)
    known, training = everything.without_last(1), everything.without_last(2)
    started = time.monotonic()
    fitted, chosen = fit(known, training, task.seed, show)
    show(None, "reading the log")
    log = OrderLog(settled(), everything.n_items)
    log.take_in(training)
    before = log.moment()
    asker = Asker(as_model(fitted, log), log)
    show(None, "ranker")
    made = learn(asker, before, training, known)
    seconds = time.monotonic() - started
    show(None, "testing")
    log.take_in(known.last())
    now = log.moment()
    ranked = rank(asker, made.ranker, now, before, Baselines(known, training), everything)
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
            "target_among_candidates": ranked.reached,
            "training_seconds": round(seconds, 1),
            "network": asdict(fitted.network.config),
            "training": asdict(chosen.settings),
            "loss": chosen.loss,
            "ranker": made.ranker.to_json(),
            "ranking_on_validation": made.report,
            "curve": [asdict(epoch) for epoch in fitted.curve],
            "cut_short": fitted.cut_short,
        },
        pictures={f"{name}-curve.png": pictures.picture(fitted.curve, name)},
    )


def settled() -> Settings:
    """The worker's settings for data in which everything goes with a lot of other things."""
    settings = load_settings()
    state = settings.state.model_copy(update={"covisit_neighbours": NEIGHBOURS})
    return settings.model_copy(update={"state": state})


def fit(known: Orders, training: Orders, seed: int, show: Show) -> tuple[Fitted, recipe.Recipe]:
    """Train the network the nightly way; the second last items of all users validate."""
    chosen = recipe.choose(len(training), training.n_items, seed=seed)
    corpus = order_file.corpus(known)
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


def as_model(fitted: Fitted, log: OrderLog) -> Model:
    """What a worker would load of the trained network; its ranker is yet to be learnt."""
    table, bias = fitted.item_table, fitted.item_bias
    return Model(
        version="leave-one-out",
        directory=Path(),
        engine=OnnxEngine(export.to_onnx(fitted.network, table), table, bias),
        item_ids=log.item_ids,
        item_table=table,
        item_bias=bias,
        ranker=None,
        heads={},
        feature_set_hash=FEATURE_SET_HASH,
        manifest={},
    )


def learn(asker: Asker, moment: Moment, training: Orders, known: Orders) -> Ranking:
    """The ranker, taught by the validation items of some users spread over all."""
    every = max(1, round(training.n_users / RANKER_POINTS))
    pools, features, users = [], [], []
    for asked in asker.questions(moment, training, every):
        pools.append(asked.pool)
        features.append(candidate_features(asked.pool, asked.windows))
        users.append(asked.users)
    who = np.concatenate(users)
    targets = asker.index(known.last().items[who])
    return choose(Lessons(Pool.concat(pools), np.concatenate(features), targets, who))


class Baselines:
    """What people would use instead: popularity, and co-visitation counted without any limit.

    Parameters
    ----------
    known, training
        Everything but the test items, and but the validation items too.
    """

    def __init__(self, known: Orders, training: Orders) -> None:
        rows = known.n_items + 1
        visits = np.bincount(known.items, minlength=rows)
        self._popularity = -metrics.popular_first(visits).astype(np.float32)
        self._near = {
            "covisitation": Neighbours(known.items, known.users, rows),
            "covisitation_frozen": Neighbours(training.items, training.users, rows),
        }

    def scores(self, inputs: ModelInputs) -> dict[str, Floats]:
        """Scores (U, N + 1) by method."""
        shape = len(inputs), len(self._popularity)
        return {"popularity": np.broadcast_to(self._popularity, shape)} | {
            name: near.scores(inputs.item_rows, inputs.lengths) for name, near in self._near.items()
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """Ranks (U,) of the test items by method, and the share of the catalogue that is shown.

    `reached` is the share of test items that are candidates.
    """

    ranks: dict[str, Ints]
    coverage: dict[str, float]
    reached: float

    def figures(self, method: str, users: slice | Ints) -> dict[str, intervals.Figure]:
        ranks = self.ranks[method]
        return intervals.ranking(ranks[users], np.arange(len(ranks))[users])


def rank(
    asker: Asker,
    ranker: Ranker,
    now: Moment,
    before: Moment,
    baselines: Baselines,
    everything: Orders,
) -> Ranked:
    """Ask everybody for the test item."""
    targets = everything.last().items
    ranks: dict[str, list[Ints]] = {}
    shown: dict[str, npt.NDArray[np.bool_]] = {}
    reached = 0
    for asked in asker.questions(now, everything.without_last(1)):
        wanted = targets[asked.users]
        reached += int((asked.pool.items == asker.index(wanted)[:, None]).any(axis=1).sum())
        then = asker.pool(asked.windows, asked.scores, asked.seen, before.part)
        methods = {
            HARK: asker.ranked(asked, asked.pool, ranker),
            f"{HARK}_frozen": asker.ranked(asked, then, ranker),
            "network": asked.logits,
            **baselines.scores(asked.inputs),
        }
        for method, scores in methods.items():
            left = np.where(asked.seen, np.float32(-np.inf), scores)
            ranks.setdefault(method, []).append(places(left, wanted))
            best = np.argpartition(left, -TOP, axis=1)[:, -TOP:]
            shown.setdefault(method, np.zeros(left.shape[1], np.bool_))[best] = True
    return Ranked(
        {method: np.concatenate(found) for method, found in ranks.items()},
        {method: float(rows[1:].mean()) for method, rows in shown.items()},
        reached / len(targets),
    )


def _slices(ranked: Ranked, training: Orders, everything: Orders) -> dict[str, list[Row]]:
    """Items visited less than most, users with less history than most."""
    targets = everything.last().items
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

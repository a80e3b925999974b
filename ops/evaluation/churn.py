"""A shop's customers: who won't buy again within 90 days? Asked every week, of everybody active.

Sunday-to-Sunday cut-offs, not events, ask: a customer who stays away does nothing that could.
The state is the worker's at that moment, after the file's invoice lines as a log (64 of them per
customer and the running sums); features and trees are those that it answers with.

A test cut-off learns from the 16 weekly ones whose 90 days were over by then (the purge), and
from nothing whose outcome isn't known (the censoring): nothing later than what a worker had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.evaluation import intervals
from models.evaluation.intervals import Figure
from models.features.model_inputs import scale
from models.features.table import NAMES
from models.heads import calibration
from models.heads.calibration import Calibration, sigmoid
from models.heads.stack import Mix, Stack
from models.heads.trees import Trees
from models.training import labels
from ops.evaluation.file_log import rerun_file
from ops.evaluation.pictures import diagram
from ops.evaluation.report import HARK, Report, Row
from ops.event_files import adapters
from ops.event_files.adapters import Source
from schemas.column_rows import Columns
from streams.settings import Settings

if TYPE_CHECKING:
    from ops.evaluation.report import Show, Task

DAY_S = 86_400
WEEK_S = 7 * DAY_S
LAST_CUT_S = int(np.datetime64("2011-09-10", "s").astype(int))
"""The newest midnight that the file's end lies 90 days after."""
HORIZON_DAYS, ACTIVE_DAYS = 90, 120
TESTS, TRAININGS = 5, 16
PURGE_WEEKS = -(-HORIZON_DAYS // 7)
BUDGET = 0.1
"""Share of the customers that may be alerted on."""
AGGREGATES = (
    "recency_s", "since_purchase_ever_s", "tenure_s", "events_total", "purchases_total",
    "cancels_total", "sessions_total", "active_days", "spend_total", "spend_120d", "visits_120d",
)  # fmt: skip
"""Recency, frequency and money, as everybody computes them first."""
PROTOCOL = (
    "Customers who bought within 120 days before 2011-09-10 (n 2,260): no purchase within 90 days "
    "is churn. Each test cut-off learns from the 16 weekly cut-offs whose 90 days were over by "
    "then. AUC, average precision, Brier at that cut-off; ECE pooled over it and the four weekly "
    "ones before, each with its own training."
)

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scaled = npt.NDArray[np.float32]
Method = Callable[["Cuts", "Cuts", int], Floats]


@dataclass(frozen=True, slots=True)
class Cuts(Columns):
    """Customers asked at cut-offs, (n,) each; features (n, F) as the trees see them."""

    users: Ints
    cut_s: Ints
    features: Scaled
    churned: Bools

    def at(self, cuts_s: list[int]) -> Cuts:
        """Those of some cut-offs."""
        return self.take(np.flatnonzero(np.isin(self.cut_s, cuts_s)))


def online_retail(task: Task, show: Show) -> Report:
    """Measure 90-day churn on the UCI shop's invoices."""
    asked = _asked(adapters.load(task.file, "online-retail"), show, task.partitions)
    methods: dict[str, Method] = {
        HARK: _trees, "lightgbm_aggregates": _aggregates, "recency": _recency,
    }  # fmt: skip
    tests = [LAST_CUT_S - WEEK_S * number for number in range(TESTS)]
    said: dict[str, list[Floats]] = {name: [] for name in methods}
    for number, test_s in enumerate(tests):
        show(number / TESTS, "training")
        training = asked.at(training_cuts(test_s))
        for name, method in methods.items():
            said[name].append(method(training, asked.at([test_s]), task.seed))
    pooled = Cuts(
        *(
            np.concatenate([getattr(asked.at([test_s]), name) for test_s in tests])
            for name in Cuts.__slots__
        )
    )
    together = {name: np.concatenate(parts) for name, parts in said.items()}
    whole = [Row(name, _figures(p, pooled)) for name, p in together.items()]
    last = asked.at(tests[:1])
    results = [
        Row(
            row.method,
            _figures(said[row.method][0], last)
            | {"ece": row.figures["ece"], "ece_one_cut": _ece(said[row.method][0], last)},
        )
        for row in whole
    ]
    each = [
        Row(f"{HARK} {np.datetime64(test_s, 's').astype('datetime64[D]')}", _figures(p, part))
        for test_s, p in zip(tests, said[HARK], strict=True)
        if (part := asked.at([test_s]))
    ]
    learnt = asked.at(training_cuts(tests[0]))
    return Report(
        "online-retail",
        PROTOCOL,
        results,
        slices={"five cut-offs pooled": whole, "each cut-off": each},
        facts={
            "customers": len(last.users),
            "churned": int(last.churned.sum()),
            "training": {
                "customers": len(learnt.users),
                "churned": int(learnt.churned.sum()),
                "cut_offs": len(training_cuts(tests[0])),
            },
            "pooled_customers": len(pooled.users),
            "shipped": "trees",
            "importance": dict(list(_fitted(learnt, task.seed).importance().items())[:20]),
        },
        pictures={
            "online-retail_reliability.png": diagram(
                "90-day churn, five cut-offs",
                {name: (together[name], pooled.churned) for name in (HARK, "recency")},
            )
        },
    )


def training_cuts(test_s: int) -> list[int]:
    """The newest weekly cut-offs whose outcome is known at `test_s`, newest first."""
    return [test_s - WEEK_S * (PURGE_WEEKS + number) for number in range(TRAININGS)]


def _asked(source: Source, show: Show, partitions: int = 1) -> Cuts:
    """Everybody active at every cut-off that trains or tests, with what became of them."""
    cuts = [LAST_CUT_S - WEEK_S * n for n in range(TESTS + PURGE_WEEKS + TRAININGS)]
    customers = source.events["user_id"].unique(maintain_order=True).to_list()
    numbers = {customer: number for number, customer in enumerate(customers)}
    parts = list(_standing(source, sorted(cuts), numbers, show, partitions))
    users, cut_s, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    bought = source.events.filter(source.events["event"] == "Order Completed")
    buyers = np.array([numbers[user] for user in bought["user_id"].to_list()])
    end_s = int(source.events["time_ms"].max() or 0) // 1000  # type: ignore[arg-type]
    outcome = labels.churn(
        users,
        cut_s,
        buyers.astype(np.int64),
        (bought["time_ms"] // 1000).to_numpy(),
        horizon_s=HORIZON_DAYS * DAY_S,
        log_end_s=end_s,
    )
    return Cuts(users, cut_s, features, outcome == 1)


def _standing(
    source: Source, cuts: list[int], numbers: dict[str, int], show: Show, partitions: int
) -> Iterator[tuple[Ints, Ints, Scaled]]:
    """The active customers at each cut-off, as the worker's state says, by their first event."""
    state, steps = rerun_file(
        source,
        Settings(),
        lambda done, total: show(done / total, "invoices"),
        suggest=False,
        stops_ms=[cut * 1000 for cut in cuts],
        partitions=partitions,
    )
    times_s = source.events["time_ms"].to_numpy() // 1000
    # Before the first event there is nobody to ask.
    waiting = list(zip(np.searchsorted(times_s, cuts).tolist(), cuts, strict=True))
    waiting = [(events, cut) for events, cut in waiting if events]
    fed = 0
    for step in steps:
        fed += len(step.columns)
        while waiting and waiting[0][0] == fed:
            _, now_s = waiting.pop(0)
            seen = state.standing(now_s)
            since = seen.features[:, NAMES.index("since_purchase_ever_s")]
            users = np.array([numbers[user] for user in seen.users], np.int64)
            order = np.argsort(users)  # whichever partition they are in
            active = order[since[order] <= ACTIVE_DAYS * DAY_S]
            yield (
                users[active],
                np.full(len(active), now_s, np.int64),
                scale(seen.features)[active],
            )
        if not waiting:
            return


def _fitted(training: Cuts, seed: int) -> Trees:
    return Trees.fit(training.features, training.churned, "churn", seed=seed)


def _trees(training: Cuts, asked: Cuts, seed: int) -> Floats:
    """The head as it is shipped where no later outcome is known yet to weigh and calibrate by.

    Calibrating by the latest known outcomes does harm: they are 90 days old, and seasons differ.
    """
    head = Stack(Mix(0.0, 1.0, 0.0, Calibration()), _fitted(training, seed))
    return head.probability(np.zeros(len(asked.users), np.float32), asked.features)


def _aggregates(training: Cuts, asked: Cuts, seed: int) -> Floats:
    columns = [NAMES.index(name) for name in AGGREGATES]

    def plain(features: Scaled) -> Scaled:
        part = np.zeros_like(features)
        part[:, columns] = features[:, columns]
        return part

    trees = Trees.fit(
        plain(training.features), training.churned, "churn", seed=seed, rounds=250, num_leaves=7,
        monotone_constraints=[0] * len(NAMES), feature_fraction=1.0,
    )  # fmt: skip
    return sigmoid(trees.logit(plain(asked.features)))


def _recency(training: Cuts, asked: Cuts, _seed: int) -> Floats:
    column = NAMES.index("since_purchase_ever_s")
    curve = calibration.fit_platt(training.features[:, column].astype(np.float64), training.churned)
    return curve.probability(asked.features[:, column])


def _figures(said: Floats, asked: Cuts) -> dict[str, Figure]:
    found = intervals.probabilities(said, asked.churned, asked.users)
    return found | intervals.at_budget(said, asked.churned, asked.users, BUDGET)


def _ece(said: Floats, asked: Cuts) -> Figure:
    return intervals.probabilities(said, asked.churned, asked.users)["ece"]

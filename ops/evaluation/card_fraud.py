"""Card payments: is this one a fraud? Each asked as it happens, labels known a week later.

The protocol is the Fraud Detection Handbook's: training ends a week before the test week, and
cards that are known to be compromised by then, under the label delay, are no longer asked about.
Everything goes through the worker's own code: the file's payments and confirmations as a log,
features and terminal counters at every payment, `models.training.build` as every night.

References
----------
Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection", 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.engines.engine import Engine
from models.evaluation import intervals, metrics
from models.evaluation.intervals import Figure
from models.features.table import NAMES
from models.heads import calibration
from models.heads.stack import Stack
from models.heads.trees import Trees
from models.training import build, fit_stacks, labels
from models.training.corpus import Corpus, at_points, until
from models.training.train import Settings as Training
from ops.archive.rerun import Step
from ops.evaluation.file_log import rerun_file
from ops.evaluation.pictures import diagram
from ops.evaluation.report import HARK, Report, Row
from ops.event_files import adapters
from ops.training.samples import LabelRules, collect
from streams.settings import ContractSection, Settings

if TYPE_CHECKING:
    from ops.evaluation.report import Show, Task


TOP = 100


def card_precision(
    scores: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    cards: Ints,
    days: Ints,
    rows: Ints | None = None,
    top: int = TOP,
) -> float:
    """Mean over the days of the share of compromised cards among the `top` most suspect ones.

    A card's score is its most suspect payment's of the day, and a compromised card that was
    found is gone from the next day on.

    Parameters
    ----------
    scores, labels, cards, days
        (n,): the payments.
    rows
        Payments drawn, in a bootstrap; a payment drawn twice stands for two cards.

    References
    ----------
    Fraud Detection Handbook, "Card Precision top-k".
    """
    drawn = np.ones(len(scores)) if rows is None else np.bincount(rows, minlength=len(scores))
    shares, found = [], np.empty(0, np.int64)
    for day in np.unique(days):
        asked = np.flatnonzero((days == day) & (drawn > 0) & ~np.isin(cards, found))
        card, place = np.unique(cards[asked], return_inverse=True)
        best = np.full(len(card), -np.inf)
        np.maximum.at(best, place, scores[asked])
        stolen = np.zeros(len(card), np.bool_)
        np.logical_or.at(stolen, place, labels[asked])
        copies = np.zeros(len(card))
        np.maximum.at(copies, place, drawn[asked])
        order = np.argsort(-best, kind="stable")
        room = top - (np.cumsum(copies[order]) - copies[order])
        taken = np.clip(room, 0, copies[order])
        shares.append(float((taken * stolen[order]).sum()) / top)
        found = np.append(found, card[order][(taken > 0) & stolen[order]])
    return float(np.mean(shares)) if shares else 0.0


DAY_S = 86_400
TEST_DAY = int(np.datetime64("2018-08-08").astype(int))
DELAY_DAYS, WEEK, FOLDS = 7, 7, 7
KNOWN_DAYS = 42
"""Labelled payments that train and validate: `labels.split` leaves four weeks of them to train."""
HISTORY_DAYS = 14
"""Payments before those that the network may look back at."""
BLOCK_MS = 300_000
"""The terminals' counters lag by up to five minutes here, live by a second."""
EPOCHS = 2
BUDGET = 0.01
"""Share of the payments that may be alerted on."""
AGGREGATES = (
    "amount_last", "hour", "weekday", "payment_24h", "payment_7d", "payment_30d", "amount_24h",
    "amount_7d", "amount_30d", "entity_count_24h", "entity_count_7d", "entity_labels_30d",
    "entity_label_share",
)  # fmt: skip
"""As the handbook's: amount, time, the card's counts and sums, the terminal's count and risk."""
PROTOCOL = (
    "Simple split of the Fraud Detection Handbook: labels known on 2018-08-08 (7 days late) train "
    "and validate, test 2018-08-08..14, cards known to be compromised dropped; every payment is "
    "asked as it happens with the worker's state. Seven such weeks follow one another."
)

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Week:
    """One test week: which points teach, and which are asked."""

    first_day: int
    training: Bools
    validation: Bools
    test: Ints

    @property
    def name(self) -> str:
        """Its first day."""
        return str(np.datetime64(self.first_day, "D"))


def fraud(task: Task, show: Show) -> Report:
    """Measure the risk head on the handbook's payments."""
    corpus = _corpus(task, show)
    weeks = list(_weeks(corpus))
    show(None, "training")
    seen = until(corpus, weeks[0].first_day * DAY_S)
    known = _known(seen, weeks[0].first_day)
    seen = replace(seen, points=replace(seen.points, risk=np.where(known, seen.points.risk, -1)))
    trained = build.train_version(
        seen,
        0,
        Training(seed=task.seed, epochs=EPOCHS, max_seconds=1_800.0),
        horizon_s=DAY_S,
        label_delay_s=DELAY_DAYS * DAY_S,
        progress=lambda share, line: show(share, f"training, {line}"),
    )
    head, first = trained.risk, weeks[0]
    assert head.stack is not None
    inputs = at_points(corpus, first.test)
    network = trained.engine.score(inputs).risk_logit
    stacks: list[tuple[str, Stack]] = [(HARK, head.stack), *head.parts.items()]
    answers = {name: one.probability(network, inputs.features) for name, one in stacks}
    answers["lightgbm_aggregates"] = _aggregates(corpus, first, task.seed)
    results = [Row(name, _figures(said, corpus, first)) for name, said in answers.items()]
    folds = [_values(answers[HARK], corpus, first)]
    for number, week in enumerate(weeks[1:], start=2):
        show(number / FOLDS, f"week {number} of {FOLDS}")
        folds.append(_values(_next_week(trained.engine, corpus, week, task.seed), corpus, week))
    mean = {n: intervals.mean(np.array([f[n] for f in folds]), np.arange(FOLDS)) for n in folds[0]}
    truth = corpus.points.risk[first.test] == 1
    return Report(
        "fraud",
        PROTOCOL,
        results,
        slices={"mean of seven weekly folds": [Row(HARK, mean)]},
        facts={
            "shipped": head.report["shipped"],
            "validation": head.report,
            "importance": _largest(head.parts["trees"]),
            "payments": len(first.test),
            "frauds": int(truth.sum()),
            "weeks": {week.name: found for week, found in zip(weeks, folds, strict=True)},
            "training_curve": [
                {"loss": e.train_loss, "s": e.seconds} for e in trained.fitted.curve
            ],
        },
        pictures={
            "fraud_reliability.png": diagram(
                "fraud, 2018-08-08..14",
                {name: (answers[name], truth) for name in (HARK, "lightgbm_aggregates")},
                logarithmic=True,
            )
        },
    )


def _corpus(task: Task, show: Show) -> Corpus:
    settings = Settings(contract=ContractSection(entities=("properties.terminal_id",)))
    source = adapters.load(task.file, "fraud-handbook")
    _, steps = rerun_file(
        source,
        settings,
        lambda done, total: show(done / total, "payments"),
        suggest=False,
        block_ms=BLOCK_MS,
        partitions=task.partitions,
    )
    from_ms = (TEST_DAY - DELAY_DAYS - KNOWN_DAYS - HISTORY_DAYS) * DAY_S * 1000
    until_ms = (TEST_DAY + FOLDS * WEEK) * DAY_S * 1000
    rules = LabelRules(churn_horizon_s=DAY_S, label_delay_s=DELAY_DAYS * DAY_S)
    corpus = collect(_since(steps, from_ms), rules).corpus
    within = until(corpus, until_ms // 1000)
    silent = np.full_like(within.points.churn, labels.UNKNOWN)
    return replace(within, points=replace(within.points, churn=silent))


def _since(steps: Iterator[Step], from_ms: int) -> Iterator[Step]:
    """The steps from some time on; those before only warm the state."""
    return (s for s in steps if len(s.columns) and int(s.columns.time_ms[-1]) >= from_ms)


def _weeks(corpus: Corpus) -> Iterator[Week]:
    """The test weeks, each with what was known when it began."""
    at = corpus.points.event
    day, card = corpus.times_s[at] // DAY_S, corpus.users[at]
    risk = corpus.points.risk
    for first_day in range(TEST_DAY, TEST_DAY + FOLDS * WEEK, WEEK):
        known = np.where(_known(corpus, first_day), risk, labels.UNKNOWN).astype(np.int8)
        training, validation = labels.split(corpus.times_s[at], known, gap_s=DELAY_DAYS * DAY_S)
        # A card is compromised from a fraud in the handbook's week of training on, once known.
        since = first_day - DELAY_DAYS - WEEK
        parts = []
        for today in range(first_day, first_day + WEEK):
            told = (risk == 1) & (day >= since) & (day < today - DELAY_DAYS)
            parts.append(np.flatnonzero((day == today) & ~np.isin(card, card[told])))
        yield Week(first_day, training, validation, np.concatenate(parts))


def _known(corpus: Corpus, first_day: int) -> Bools:
    """The points whose label is known when the test begins, of the last `KNOWN_DAYS`."""
    day = corpus.times_s[corpus.points.event] // DAY_S
    last = first_day - DELAY_DAYS
    return (day >= last - KNOWN_DAYS) & (day < last)


def _next_week(engine: Engine, corpus: Corpus, week: Week, seed: int) -> Floats:
    """A later week's probabilities: trees, weights and calibration are new, the network isn't."""
    head = fit_stacks.fit(
        "risk", corpus, engine, corpus.points.risk, week.training, week.validation, seed
    )
    assert head.stack is not None
    inputs = at_points(corpus, week.test)
    network = np.zeros(len(inputs), np.float32)
    if head.stack.mix.network > 0:
        network = engine.score(inputs).risk_logit
    return head.stack.probability(network, inputs.features)


def _aggregates(corpus: Corpus, week: Week, seed: int) -> Floats:
    """LightGBM on the handbook's kind of features, calibrated on the same validation part."""
    points = corpus.points
    columns = [NAMES.index(name) for name in AGGREGATES]

    def plain(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        part = np.zeros((len(rows), len(NAMES)), np.float32)
        part[:, columns] = points.features[rows[:, None], columns]
        return part

    taught, held = np.flatnonzero(week.training), np.flatnonzero(week.validation)
    trees = Trees.fit(plain(taught), points.risk[taught] == 1, "risk", seed=seed)
    curve = calibration.fit(trees.logit(plain(held)), points.risk[held] == 1)
    return curve.probability(trees.logit(plain(week.test)))


def _figures(said: Floats, corpus: Corpus, week: Week) -> dict[str, Figure]:
    truth, card, day = _truth(corpus, week)
    figures = intervals.probabilities(said, truth, card)
    figures["card_precision_at_100"] = intervals.resampled(
        lambda rows: card_precision(said, truth, card, day, rows), card
    )
    return figures | intervals.at_budget(said, truth, card, BUDGET)


def _values(said: Floats, corpus: Corpus, week: Week) -> dict[str, float]:
    """What is averaged over the weeks."""
    truth, card, day = _truth(corpus, week)
    return {
        "auc": metrics.auc(said, truth) or 0.0,
        "average_precision": metrics.average_precision(said, truth) or 0.0,
        "card_precision_at_100": card_precision(said, truth, card, day),
        "brier": metrics.brier(said, truth),
        "ece": metrics.ece(said, truth),
    }


def _truth(corpus: Corpus, week: Week) -> tuple[Bools, Ints, Ints]:
    """Fraud, card and day of each payment asked about."""
    at = corpus.points.event[week.test]
    return corpus.points.risk[week.test] == 1, corpus.users[at], corpus.times_s[at] // DAY_S


def _largest(trees: Stack, top: int = 20) -> dict[str, Any]:
    assert trees.booster is not None
    return dict(list(trees.booster.importance().items())[:top])

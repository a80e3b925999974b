"""Fit a head: grow its trees, weight them with the network, choose parts, calibrate, measure.

The validation part is later than the training part. Its even-numbered users fit the weights and
the calibration; the odd-numbered users choose the parts to ship and measure them. The shipped
parts are then weighted and calibrated again on all users of the validation part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.engine import Engine
from models.evaluation import intervals, metrics
from models.heads import calibration, stack
from models.heads.calibration import Calibration
from models.heads.stack import Mix, Part, Stack, Weights
from models.heads.trees import Trees
from models.training.corpus import Corpus, at_points
from schemas.column_rows import Columns

MIN_LABELS = 20
"""Labels of each class that a head needs for training; validation needs a quarter of that."""
VALIDATION_ROWS = 20_000
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Quantiles of the calibrated probabilities in validation; alert thresholds are among them."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PARTS: tuple[Part, ...] = ("network", "trees", "stack")


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted head and its validation.

    Attributes
    ----------
    stack
        The shipped head, None if none is shipped.
    report
        For the manifest: the shipped parts, counts, figures and intervals.
    parts
        Every head that could have been shipped; empty without labels.
    """

    stack: Stack | None
    report: dict[str, Any]
    parts: dict[Part, Stack] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers(Columns):
    """Logits of both parts at n labelled validation points, with labels and users, (n,) each."""

    network: Floats
    trees: Floats
    labels: Bools
    users: Ints


def fit(
    name: str,
    corpus: Corpus,
    engine: Engine,
    labels: npt.NDArray[np.int8],
    training: Bools,
    validation: Bools,
    seed: int,
) -> Head:
    """Fit the head `name` ("churn" or "risk").

    Parameters
    ----------
    engine
        Runs the trained network.
    labels
        int8 (P,): labels of the corpus' points: 1, 0 or -1 (unknown).
    training, validation
        bool (P,): points that train and points that validate; their labels are known.
    """
    enough = _fewer(labels[training]) >= MIN_LABELS
    enough = enough and _fewer(labels[validation]) >= MIN_LABELS // 4
    if not enough:
        counts = {str(label): int((labels == label).sum()) for label in (1, 0)}
        return Head(None, {"shipped": None, "why": "too few labels", "labels": counts})
    points = corpus.points
    trees = Trees.fit(points.features[training], labels[training] == 1, name, seed=seed)
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(validation))
    rows = np.sort(drawn[:VALIDATION_ROWS])
    inputs = at_points(corpus, rows)
    answers = Answers(
        engine.score(inputs).logit(name).astype(np.float64),
        trees.logit(inputs.features),
        labels[rows] == 1,
        corpus.users[points.event[rows]],
    )
    even = answers.users % 2 == 0
    shipped, report = choose(answers.take(even), answers.take(~even))
    mixes = {part: mixed(part, answers) for part in PARTS}
    parts = {part: Stack(mix, trees if mix.trees > 0 else None) for part, mix in mixes.items()}
    mix = mixes[shipped]
    quantiles = np.quantile(mix.probability(answers.network, answers.trees), QUANTILES)
    return Head(
        parts[shipped],
        {
            "shipped": mix.shipped,
            "train": int(training.sum()),
            "validation": len(rows),
            "base_rate": float(answers.labels.mean()),
            **report,
            "weights": {"network": mix.network, "trees": mix.trees},
            "quantiles": dict(zip(map(str, QUANTILES), quantiles.tolist(), strict=True)),
        },
        parts,
    )


def choose(fitting: Answers, judging: Answers) -> tuple[Part, dict[str, Any]]:
    """Choose the parts to ship, and measure each part on data it wasn't fitted on.

    The choice is the single part with the lower log loss, unless the stack's loss is lower by an
    interval (95%, over users) that excludes 0.

    Returns
    -------
    The choice, and a report: figures of the shipped parts, and of all parts under `parts`.
    """
    mixes = {part: mixed(part, fitting) for part in PARTS}
    answers = {p: mix.probability(judging.network, judging.trees) for p, mix in mixes.items()}
    losses = {part: _log_loss(p, judging.labels) for part, p in answers.items()}
    single: Part = min(("trees", "network"), key=lambda part: float(losses[part].mean()))
    gain = intervals.difference(losses[single], losses["stack"], judging.users)
    shipped: Part = "stack" if gain.low > 0 else single
    figures = intervals.probabilities(answers[shipped], judging.labels, judging.users)
    return shipped, {
        **{name: figure.value for name, figure in figures.items()},
        "intervals": {name: [figure.low, figure.high] for name, figure in figures.items()},
        "stack_gain": asdict(gain),
        "parts": {part: _figures(answers[part], losses[part], judging.labels) for part in PARTS},
    }


def mixed(part: Part, answers: Answers) -> Mix:
    """Fit the weights and the calibration of `part` on `answers`."""
    weights: Weights = (1.0, 0.0, 0.0) if part == "network" else (0.0, 1.0, 0.0)
    if part == "stack":
        weights = stack.weigh(answers.network, answers.trees, answers.labels)
    plain = Mix(*weights, Calibration())
    logit = plain.logit(answers.network, answers.trees)
    return replace(plain, curve=calibration.fit(logit, answers.labels))


def _log_loss(probability: Floats, labels: Bools) -> Floats:
    right = np.where(labels, probability, 1.0 - probability)
    loss: Floats = -np.log(np.clip(right, 1e-6, 1.0))
    return loss


def _figures(probability: Floats, losses: Floats, labels: Bools) -> dict[str, float | None]:
    return {
        "log_loss": float(losses.mean()),
        "auc": metrics.auc(probability, labels),
        "average_precision": metrics.average_precision(probability, labels),
    }


def _fewer(labels: npt.NDArray[np.int8]) -> int:
    """Size of the rarer class."""
    return int(min((labels == 1).sum(), (labels == 0).sum()))

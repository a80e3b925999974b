"""From a corpus to a stored model version: split, train, export, calibrate, measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import (
    artefact,
    calibration,
    covisitation,
    export,
    golden,
    labels,
    metrics,
    train,
    warm_start,
)
from models.calibration import Calibration
from models.corpus import Corpus, Ints
from models.engine import Engine
from models.features import FEATURE_SET_HASH, NAMES
from models.network import NetworkConfig
from models.onnx_engine import OnnxEngine
from models.point_inputs import at_points
from models.ranker import Ranker
from models.sequences import N_GAPS, N_HOURS, ModelInputs, unscale
from models.splits import Split, split_items
from models.train import Fitted, Progress, Settings, Warm
from schemas.errors import ArtefactError
from schemas.kinds import N_KINDS

VALIDATION_SHARE = 0.1
"""Newest share of the log's events that validates the next-item loss."""
MIN_LABELS = 20
"""A head needs so many of each class to train, and a quarter of it to validate."""
MAX_PARITY = 1e-4
GOLDEN_ROWS = 32
CALIBRATION_ROWS = 20_000
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Of the calibrated probabilities in validation: alert thresholds are chosen among them."""


@dataclass(frozen=True, slots=True)
class Head:
    """What validation says about one head; `curve` is None if it isn't shipped."""

    curve: Calibration | None
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained and exported version, before its ranker is fitted.

    Attributes
    ----------
    engine
        Runs the exported graph: what the worker will run.
    """

    fitted: Fitted
    graph: bytes
    engine: Engine
    golden_inputs: ModelInputs
    parity: float
    churn: Head
    risk: Head
    next_item: dict[str, float]
    feature_medians: dict[str, float]
    cut_s: int


def split(corpus: Corpus, *, horizon_s: int, label_delay_s: int) -> tuple[Split, int]:
    """Split every task in time; also the time from which next items validate."""
    cut_s = int(np.quantile(corpus.times_s, 1 - VALIDATION_SHARE))
    rows, train_items, validation_items = split_items(corpus, cut_s)
    times = corpus.times_s[corpus.points.event]
    churn = labels.split(times, corpus.points.churn, gap_s=horizon_s)
    risk = labels.split(times, corpus.points.risk, gap_s=label_delay_s)
    return Split(rows, train_items, validation_items, *churn, *risk), cut_s


def train_version(
    corpus: Corpus,
    n_items: int,
    settings: Settings,
    *,
    horizon_s: int,
    label_delay_s: int,
    progress: Progress | None = None,
    warm: Warm | None = None,
    kept: Path | None = None,
) -> Trained:
    """Train, export and calibrate.

    Parameters
    ----------
    n_items
        N; the corpus' item rows are 1..N.
    warm, kept
        As in `train.fit`.

    Raises
    ------
    ArtefactError
        The exported graph doesn't answer like the network.
    """
    parts, cut_s = split(corpus, horizon_s=horizon_s, label_delay_s=label_delay_s)
    config = NetworkConfig(
        n_features=corpus.points.features.shape[1],
        n_kinds=N_KINDS,
        n_gaps=N_GAPS,
        n_hours=N_HOURS,
    )
    table = covisitation.start_table(
        *_before(corpus, cut_s), n_items + 1, config.d, np.random.default_rng(settings.seed)
    )
    fitted = train.fit(
        corpus, parts, config, table, settings, progress, warm=usable(warm, cut_s), kept=kept
    )
    graph = export.to_onnx(fitted.network, fitted.item_table)
    engine = OnnxEngine(graph, fitted.item_table, fitted.item_bias)
    newest = np.argsort(corpus.points.event, kind="stable")[-GOLDEN_ROWS:]
    inputs = at_points(corpus, newest, config.length)
    wanted = export.torch_scores(fitted.network, inputs, fitted.item_table, fitted.item_bias)
    parity = golden.difference(wanted, engine.score(inputs))
    if not parity < MAX_PARITY:
        raise ArtefactError(f"the exported graph differs from the network by {parity:.2g}")
    rng = np.random.default_rng(settings.seed)
    points = corpus.points
    return Trained(
        fitted=fitted,
        graph=graph,
        engine=engine,
        golden_inputs=inputs,
        parity=parity,
        churn=_head(corpus, engine, "churn", points.churn, *_churn(parts), rng),
        risk=_head(corpus, engine, "risk", points.risk, *_risk(parts), rng),
        next_item=next_item_report(corpus, parts, engine, fitted),
        feature_medians=_medians(points.features),
        cut_s=cut_s,
    )


def usable(warm: Warm | None, cut_s: int) -> Warm | None:
    """The start, unless its version was taught by what validates now: that would flatter it."""
    return warm if warm is not None and warm.start.cut_s <= cut_s else None


def store(
    root: Path,
    trained: Trained,
    item_ids: list[str],
    ranker: Ranker | None,
    facts: Mapping[str, Any],
) -> str:
    """Write the version to the registry and return its name.

    Parameters
    ----------
    facts
        More of the manifest: data, seed, settings, evaluation. No clock: the same training
        gives the same version.
    """
    fitted = trained.fitted
    files = {
        "model.onnx": trained.graph,
        artefact.WEIGHTS: warm_start.to_bytes(fitted.network),
        "item_table.npy": artefact.to_npy_bytes(fitted.item_table),
        "item_bias.npy": artefact.to_npy_bytes(fitted.item_bias),
        "items.json": artefact.to_json_bytes(item_ids),
        "calibration.json": artefact.to_json_bytes(
            {"churn": _stored(trained.churn.curve), "risk": _stored(trained.risk.curve)}
        ),
        "ranker.json": artefact.to_json_bytes(ranker.to_json() if ranker else None),
        "golden.npz": golden.to_bytes(
            trained.golden_inputs, trained.engine.score(trained.golden_inputs)
        ),
    }
    manifest = {
        "feature_set_hash": FEATURE_SET_HASH,
        "network": asdict(fitted.network.config),
        "opset": export.OPSET,
        "items": len(item_ids),
        "parity": trained.parity,
        "epochs": [{"epoch": e.number, "loss": e.train_loss, "mrr": e.mrr} for e in fitted.curve],
        "cut_short": fitted.cut_short,
        "cut_s": trained.cut_s,
        "warm_start": {"version": fitted.started_from, "known_items": fitted.known_items},
        "heads": {"churn": trained.churn.report, "risk": trained.risk.report},
        "next_item": trained.next_item,
        "feature_medians": trained.feature_medians,
        **facts,
    }
    return artefact.write(root, files, manifest)


def next_item_report(
    corpus: Corpus, parts: Split, engine: Engine, fitted: Fitted, limit: int = 4_000
) -> dict[str, float]:
    """The served network alone against popularity on the validation part, whole catalogue."""
    asked = parts.validation_items[corpus.points.event]
    rows = np.flatnonzero(asked)
    rows = np.random.default_rng(0).permutation(rows)[:limit]
    wanted = parts.target_rows[corpus.points.event[rows]]
    scores = engine.score(at_points(corpus, rows))
    found = scores.candidates == wanted[:, None]
    ranks = np.where(found.any(axis=1), found.argmax(axis=1) + 1, metrics.MISSING)
    seen = np.bincount(
        parts.target_rows[parts.train_items], minlength=len(fitted.item_table)
    ).astype(np.float64)
    popular = np.where(wanted > 0, (seen[None, 1:] > seen[wanted][:, None]).sum(axis=1) + 1, 0)
    return {
        "targets": len(rows),
        "hr_at_10": metrics.hit_rate(ranks),
        "ndcg_at_10": metrics.ndcg(ranks),
        "popularity_hr_at_10": metrics.hit_rate(popular),
        "popularity_ndcg_at_10": metrics.ndcg(popular),
    }


def _before(corpus: Corpus, cut_s: int) -> tuple[Ints, Ints]:
    """Items and users of the events before the validation part."""
    early = corpus.times_s < cut_s
    return corpus.item_rows[early], corpus.users[early]


def _churn(parts: Split) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return parts.train_churn, parts.validation_churn


def _risk(parts: Split) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return parts.train_risk, parts.validation_risk


def _head(
    corpus: Corpus,
    engine: Engine,
    name: str,
    answers: npt.NDArray[np.int8],
    training: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> Head:
    """Calibrate a head on one half of the validation points' users and measure it on the other."""
    enough = _fewer(answers[training]) >= MIN_LABELS
    enough = enough and _fewer(answers[validation]) >= MIN_LABELS // 4
    if not enough:
        counts = {str(label): int((answers == label).sum()) for label in (1, 0)}
        return Head(None, {"shipped": False, "why": "too few labels", "labels": counts})
    rows = np.sort(rng.permutation(np.flatnonzero(validation))[:CALIBRATION_ROWS])
    scores = engine.score(at_points(corpus, rows))
    logits = scores.churn_logit if name == "churn" else scores.risk_logit
    truth = answers[rows] == 1
    half = corpus.users[corpus.points.event[rows]] % 2 == 0
    trial = calibration.fit(logits[half], truth[half])
    probability = trial.probability(logits[~half])
    report: dict[str, Any] = {
        "shipped": True,
        "train": int(training.sum()),
        "validation": len(rows),
        "base_rate": float(truth.mean()),
        "auc": metrics.auc(logits, truth),
        "average_precision": metrics.average_precision(logits, truth),
        "brier": metrics.brier(probability, truth[~half]),
        "ece": metrics.ece(probability, truth[~half]),
    }
    curve = calibration.fit(logits, truth)
    shares = np.quantile(curve.probability(logits), QUANTILES)
    report["quantiles"] = dict(zip(map(str, QUANTILES), shares.tolist(), strict=True))
    return Head(curve, report)


def _medians(scaled: npt.NDArray[np.float32]) -> dict[str, float]:
    """What is usual, raw: an alert's reasons compare with it."""
    middle = np.median(scaled, axis=0) if len(scaled) else np.zeros(len(NAMES), np.float32)
    return dict(zip(NAMES, unscale(middle.astype(np.float32)).round(6).tolist(), strict=True))


def _fewer(answers: npt.NDArray[np.int8]) -> int:
    """Size of the rarer class."""
    return int(min((answers == 1).sum(), (answers == 0).sum()))


def _stored(curve: Calibration | None) -> dict[str, Any] | None:
    return None if curve is None else curve.to_json()

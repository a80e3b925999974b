"""Build a model version from a corpus: split, train, export, fit the heads, measure, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.engines import golden
from models.engines.engine import Engine
from models.engines.onnx import OnnxEngine
from models.evaluation import metrics
from models.features.features import FEATURE_SET_HASH, NAMES
from models.features.model_inputs import N_GAPS, N_HOURS, ModelInputs, unscale
from models.network import export
from models.network.network import NetworkConfig
from models.ranking import covisitation
from models.ranking.ranker import Ranker
from models.storage import artefact
from models.training import fit_stacks, labels, train, warm_start
from models.training.corpus import Corpus, Ints, at_points
from models.training.fit_stacks import Head
from models.training.labels import Split, split_items
from models.training.train import Fitted, Progress, Settings, Warm
from schemas.errors import ArtefactError
from schemas.events.kinds import N_KINDS

VALIDATION_SHARE = 0.1
"""Newest share of the log's events, on which the next-item loss is validated."""
MAX_PARITY = 1e-4
DROPOUT = 0.2
GOLDEN_ROWS = 32


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained and exported version, before its ranker is fitted.

    Attributes
    ----------
    gpu_graph
        The graph in fp16.
    engine
        Runs the exported graph, as the worker will.
    """

    fitted: Fitted
    graph: bytes
    gpu_graph: bytes
    engine: Engine
    golden_inputs: ModelInputs
    parity: float
    churn: Head
    risk: Head
    next_item: dict[str, float]
    feature_medians: dict[str, float]
    cut_s: int


def split(corpus: Corpus, *, horizon_s: int, label_delay_s: int) -> tuple[Split, int]:
    """Split every task in time; also returns the event time from which next items validate."""
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
    dropout: float = DROPOUT,
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
        The exported graph's outputs differ from the network's.
    """
    parts, cut_s = split(corpus, horizon_s=horizon_s, label_delay_s=label_delay_s)
    config = NetworkConfig(
        n_features=corpus.points.features.shape[1],
        n_kinds=N_KINDS,
        n_gaps=N_GAPS,
        n_hours=N_HOURS,
        dropout=dropout,
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
    points = corpus.points
    churn = points.churn, parts.train_churn, parts.validation_churn
    risk = points.risk, parts.train_risk, parts.validation_risk
    return Trained(
        fitted=fitted,
        graph=graph,
        gpu_graph=export.to_onnx(fitted.network, fitted.item_table, torch.float16),
        engine=engine,
        golden_inputs=inputs,
        parity=parity,
        churn=fit_stacks.fit("churn", corpus, engine, *churn, settings.seed),
        risk=fit_stacks.fit("risk", corpus, engine, *risk, settings.seed),
        next_item=next_item_report(corpus, parts, engine, fitted),
        feature_medians=_medians(points.features),
        cut_s=cut_s,
    )


def usable(warm: Warm | None, cut_s: int) -> Warm | None:
    """Return `warm`, or None if its training saw events that validate now."""
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
        More entries of the manifest: data, seed, settings, evaluation. It must hold no time of
        day, so that the same training gives the same version.
    """
    fitted, heads = trained.fitted, {"churn": trained.churn, "risk": trained.risk}
    shipped = {name: head.stack for name, head in heads.items() if head.stack}
    files = {
        "model.onnx": trained.graph,
        "model.fp16.onnx": trained.gpu_graph,
        artefact.WEIGHTS: warm_start.to_bytes(fitted.network),
        "item_table.npy": artefact.to_npy_bytes(fitted.item_table),
        "item_bias.npy": artefact.to_npy_bytes(fitted.item_bias),
        "items.json": artefact.to_json_bytes(item_ids),
        "heads.json": artefact.to_json_bytes(
            {name: head.stack.to_json() if head.stack else None for name, head in heads.items()}
        ),
        "trees_churn.txt": _trees(trained.churn),
        "trees_risk.txt": _trees(trained.risk),
        "ranker.json": artefact.to_json_bytes(ranker.to_json() if ranker else None),
        "golden.npz": golden.to_bytes(
            trained.golden_inputs, trained.engine.score(trained.golden_inputs), shipped
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
        "heads": {name: head.report for name, head in heads.items()},
        "next_item": trained.next_item,
        "feature_medians": trained.feature_medians,
        **facts,
    }
    return artefact.write(root, files, manifest)


def next_item_report(
    corpus: Corpus, parts: Split, engine: Engine, fitted: Fitted, limit: int = 4_000
) -> dict[str, float]:
    """Measure the served network and popularity on the validation part, whole catalogue."""
    asked = parts.validation_items[corpus.points.event]
    rows = np.flatnonzero(asked)
    rows = np.random.default_rng(0).permutation(rows)[:limit]
    if not len(rows):
        return {"targets": 0, "hr_at_10": 0.0, "ndcg_at_10": 0.0,
                "popularity_hr_at_10": 0.0, "popularity_ndcg_at_10": 0.0}  # fmt: skip
    wanted = parts.target_rows[corpus.points.event[rows]]
    scores = engine.score(at_points(corpus, rows))
    found = scores.candidates == wanted[:, None]
    ranks = np.where(found.any(axis=1), found.argmax(axis=1) + 1, metrics.MISSING)
    seen = np.bincount(parts.target_rows[parts.train_items], minlength=len(fitted.item_table))
    popular = metrics.popular_first(seen[1:])[wanted - 1]
    return {
        "targets": len(rows),
        "hr_at_10": metrics.hit_rate(ranks),
        "ndcg_at_10": metrics.ndcg(ranks),
        "popularity_hr_at_10": metrics.hit_rate(popular),
        "popularity_ndcg_at_10": metrics.ndcg(popular),
    }


def _before(corpus: Corpus, cut_s: int) -> tuple[Ints, Ints]:
    """Items and users of the events before the validation part, each event once."""
    order = corpus.in_time_order()
    early = order[corpus.times_s[order] < cut_s]
    return corpus.item_rows[early], corpus.users[early]


def _medians(scaled: npt.NDArray[np.float32]) -> dict[str, float]:
    """Raw median of each feature; an alert's reasons compare with it."""
    middle = np.median(scaled, axis=0) if len(scaled) else np.zeros(len(NAMES), np.float32)
    return dict(zip(NAMES, unscale(middle.astype(np.float32)).round(6).tolist(), strict=True))


def _trees(head: Head) -> bytes:
    trees = head.stack.booster if head.stack else None
    return trees.text.encode() if trees else b"none"

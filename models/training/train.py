"""Fit the network to a corpus: next item at every position, churn and risk at decision points.

A batch holds pieces of histories. Every position asks for its next distinct item; decision points
also add their feature vector to the question. The newest part of the log validates: the best
epoch's weights are kept, and training stops when validation stops improving. Then both heads are
fitted to the finished encoder (`models/training/fit_network_heads.py`). In a log without items
(payments only), the labels train the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.network import loss
from models.network.export import UNKNOWN_ITEM
from models.network.network import Network, NetworkConfig
from models.training import fit_network_heads
from models.training.checkpoint import Epoch, Settings
from models.training.corpus import Corpus
from models.training.dataset import Goals, one_pass
from models.training.labels import Split
from models.training.learner import Learner
from models.training.loop import Loop, Progress
from models.training.processes import joined
from models.training.warm_start import Start, carried_over

__all__ = ["Fitted", "Progress", "Settings", "Warm", "fit"]

Floats = npt.NDArray[np.float32]
STATE_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Fitted:
    """The trained network with its catalogue, and the curve that led there.

    Attributes
    ----------
    started_from, known_items
        The version that training started from, and the number of item rows taken over.
    """

    network: Network
    item_table: Floats
    item_bias: Floats
    curve: list[Epoch]
    cut_short: bool
    started_from: str | None = None
    known_items: int = 0


@dataclass(frozen=True, slots=True)
class Warm:
    """An earlier version to start from, and the ids of the new table's rows 1..N."""

    start: Start
    item_ids: list[str]


def fit(
    corpus: Corpus,
    split: Split,
    config: NetworkConfig,
    item_table: Floats,
    settings: Settings,
    progress: Progress | None = None,
    *,
    warm: Warm | None = None,
    kept: Path | None = None,
) -> Fitted:
    """Train from `item_table` (N + 1, d) and return the epoch that validated best.

    Parameters
    ----------
    warm
        Earlier version whose weights and item rows are taken over.
    kept
        Checkpoint file, from which a killed run with the same arguments resumes.
    """
    torch.manual_seed(settings.seed)
    network = Network(config)
    bias, known = _popularity(split, len(item_table)), 0
    if warm is not None and not warm.start.fits(config):
        warm = None
    if warm is not None:
        network.load_state_dict(warm.start.weights)
        item_table, bias, known = carried_over(warm.start, warm.item_ids, item_table, bias)
    _measure_features(network, corpus, split)
    items = split.train_items.any()
    learner = Learner(
        network,
        torch.from_numpy(item_table.copy()),
        torch.from_numpy(bias),
        loss.for_catalogue(len(item_table) - 1) if items else None,
    )
    with joined() as group:
        loop = Loop(learner, corpus, split, settings, group, kept)
        loop.run(progress or (lambda share, line: None))
    learner.cpu()
    _fit_heads(learner, corpus, split, settings.seed)
    best_bias = learner.bias.detach().numpy().copy()
    best_bias[0] = UNKNOWN_ITEM
    return Fitted(
        network=network.eval(),
        item_table=learner.table.detach().numpy().copy(),
        item_bias=best_bias,
        curve=loop.position.curve,
        cut_short=loop.position.cut_short,
        started_from=warm.start.version if warm else None,
        known_items=known,
    )


def _fit_heads(learner: Learner, corpus: Corpus, split: Split, seed: int) -> None:
    """Replace both heads by heads fitted to the trained encoder, where labels exist."""
    parts = {
        "churn": (corpus.points.churn, split.train_churn, split.validation_churn),
        "risk": (corpus.points.risk, split.train_risk, split.validation_risk),
    }
    if not any(train.any() for _, train, _ in parts.values()):
        return
    states, known = _point_states(learner, corpus)
    for name, (labels, train, validation) in parts.items():
        if train.any():
            answers = torch.from_numpy(labels.astype(np.float32))
            samples = fit_network_heads.HeadSamples(states, known, answers, train, validation)
            setattr(
                learner.network,
                name,
                fit_network_heads.fit_head(learner.network.config, samples, seed),
            )


@torch.no_grad()
def _point_states(learner: Learner, corpus: Corpus) -> tuple[Tensor, Tensor]:
    """Answer states (P, d) and standardised features (P, F) of all decision points."""
    network = learner.network.eval()
    known = network.standardise(torch.from_numpy(corpus.points.features))
    states = torch.zeros(len(known), network.config.d)
    planned = one_pass(
        corpus,
        Goals.states(corpus),
        length=network.config.length,
        tokens=STATE_TOKENS,
        rng=None,
    )
    for number in range(len(planned)):
        batch = planned.batch(number)
        states[batch.point_rows] = learner.states(batch)[batch.points]
    return states, known


def _measure_features(network: Network, corpus: Corpus, split: Split) -> None:
    rows = split.train_churn | split.train_risk
    features = corpus.points.features[rows] if rows.any() else corpus.points.features
    if not len(features):
        return
    spread = features.std(axis=0)
    network.feature_mean.copy_(torch.from_numpy(features.mean(axis=0)))
    scale = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
    network.feature_scale.copy_(torch.from_numpy(scale.astype(np.float32)))


def _popularity(split: Split, n_rows: int) -> Floats:
    """Initial bias (N + 1,): each item's log share of the training targets."""
    found = np.bincount(split.target_rows[split.train_items], minlength=n_rows) + 0.5
    start = np.log(found / found.sum())
    start[0] = 0.0
    level = start[1:].mean() if n_rows > 1 else 0.0
    popularity: Floats = (start - level).astype(np.float32)
    return popularity

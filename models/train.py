"""Fit the network to a corpus: next item at every position, churn and risk at decision points.

A batch holds pieces of histories; every position asks for its next distinct item, and the
positions that were decision points also add their feature vector to the question. The newest
part of the log in time validates: the best epoch's weights are kept, and training stops when
they stop getting better. Then both heads are fitted to the finished encoder
(`models/heads.py`). A log without items, payments only, trains the encoder by its labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.corpus import Corpus
from models.export import UNKNOWN_ITEM
from models.loop import Epoch, Loop, Progress, Settings
from models.network import Network, NetworkConfig
from models.splits import Split

__all__ = ["Fitted", "Progress", "Settings", "fit"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The trained network with its catalogue, and the curve that led there."""

    network: Network
    item_table: npt.NDArray[np.float32]
    item_bias: npt.NDArray[np.float32]
    curve: list[Epoch]
    cut_short: bool


def fit(
    corpus: Corpus,
    split: Split,
    config: NetworkConfig,
    item_table: npt.NDArray[np.float32],
    settings: Settings,
    progress: Progress | None = None,
) -> Fitted:
    """Train from `item_table` (N + 1, d) and return the epoch that validated best."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = Network(config)
    _measure_features(network, corpus, split)
    table = nn.Parameter(torch.from_numpy(item_table.copy()))
    bias = nn.Parameter(_popularity(split, len(item_table)))
    loop = Loop(network, table, bias, corpus, split, settings)
    loop.run(rng, progress or (lambda share, line: None))
    loop.fit_heads()
    best_bias = bias.detach().numpy().copy()
    best_bias[0] = UNKNOWN_ITEM
    return Fitted(
        network=network.eval(),
        item_table=table.detach().numpy().copy(),
        item_bias=best_bias,
        curve=loop.curve,
        cut_short=loop.cut_short,
    )


def _measure_features(network: Network, corpus: Corpus, split: Split) -> None:
    rows = split.train_churn | split.train_risk
    features = corpus.points.features[rows] if rows.any() else corpus.points.features
    if not len(features):
        return
    spread = features.std(axis=0)
    network.feature_mean.copy_(torch.from_numpy(features.mean(axis=0)))
    scale = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
    network.feature_scale.copy_(torch.from_numpy(scale.astype(np.float32)))


def _popularity(split: Split, n_rows: int) -> Tensor:
    """Bias (N + 1,) that starts at each item's log share of the training targets."""
    found = np.bincount(split.target_rows[split.train_items], minlength=n_rows) + 0.5
    start = np.log(found / found.sum())
    start[0] = 0.0
    return torch.from_numpy((start - start[1:].mean() if n_rows > 1 else start).astype(np.float32))

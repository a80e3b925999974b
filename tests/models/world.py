"""A small synthetic log with known structure, as a corpus and as model inputs."""

from __future__ import annotations

import numpy as np

from models.features.model_inputs import N_GAPS, N_HOURS, ModelInputs, gap_buckets, scale
from models.features.table import FEATURES
from models.heads.trees import Trees
from models.network.network import Network, NetworkConfig
from models.training.corpus import Corpus, Points
from schemas.events.kinds import N_KINDS

N_FEATURES = len(FEATURES)
DAY_S = 86_400


def config(**changes: int) -> NetworkConfig:
    sizes = {"d": 16, "layers": 2, "heads": 2, "length": 64} | changes
    return NetworkConfig(
        n_features=N_FEATURES, n_kinds=N_KINDS, n_gaps=N_GAPS, n_hours=N_HOURS, **sizes
    )


def inputs(rows: int, n_items: int, seed: int = 0, length: int = 64) -> ModelInputs:
    """Random but valid model inputs of all lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, length + 1, rows)
    inside = np.arange(length) < lengths[:, None]

    def tokens(high: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.where(inside, rng.integers(1, max(high, 2), (rows, length)) % high, 0)

    return ModelInputs(
        item_rows=tokens(n_items + 1),
        kinds=tokens(N_KINDS),
        gaps=tokens(N_GAPS),
        hours=tokens(N_HOURS),
        amounts=np.where(inside, rng.random((rows, length)), 0).astype(np.float32),
        features=rng.normal(size=(rows, N_FEATURES)).astype(np.float32),
        lengths=lengths,
    )


def catalogue(n_items: int, d: int = 16) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(7)
    table = rng.normal(0, d**-0.5, (n_items + 1, d)).astype(np.float32)
    bias = rng.normal(size=n_items + 1).astype(np.float32)
    bias[0] = -1e4
    return table, bias


def network(seed: int = 0, **changes: int) -> Network:
    """An untrained network whose every weight matters."""
    import torch

    torch.manual_seed(seed)
    net = Network(config(**changes))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net.eval()


def trees(seed: int = 0) -> Trees:
    """A few trees that look at the first three features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2_000, N_FEATURES)).astype(np.float32)
    labels = features[:, :3].sum(axis=1) + rng.normal(size=2_000) > 1
    return Trees.fit(features, labels, "churn", rounds=10)


def corpus(users: int = 300, events: int = 40, n_items: int = 60, seed: int = 0) -> Corpus:
    """A log whose next item is predictable: item i is mostly followed by i + 1.

    The first feature says whether a point will be labelled risky, the second whether the user
    is about to leave.
    """
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(users), events)
    start = rng.integers(0, n_items, users)
    step = np.where(rng.random((users, events)) < 0.8, 1, rng.integers(2, n_items, (users, events)))
    items = (start[:, None] + np.cumsum(step, axis=1)) % n_items + 1
    times = np.sort(rng.integers(0, 60 * DAY_S, (users, events)), axis=1)
    gaps = np.diff(times, axis=1, append=times[:, -1:])
    points = np.flatnonzero(rng.random(users * events) < 0.3)
    features = scale(np.zeros((len(points), len(FEATURES))))
    features[:] = rng.normal(size=features.shape)
    chance = 1 / (1 + np.exp(-3 * features[:, :2]))
    drawn = rng.random((len(points), 2)) < chance
    return Corpus(
        users=who,
        times_s=times.ravel(),
        item_rows=items.ravel(),
        kinds=rng.integers(1, 4, users * events),
        gaps=gap_buckets(gaps.ravel()),
        hours=times.ravel() // 3_600 % 168 + 1,
        amounts=np.zeros(users * events, dtype=np.float32),
        points=Points(
            event=points,
            features=features,
            churn=drawn[:, 1].astype(np.int8),
            risk=drawn[:, 0].astype(np.int8),
        ),
    )

"""The trees of a head as flat arrays, and the loop that asks them.

The answers are those of LightGBM's own `predict(raw_score=True)`, bit for bit: it compares in
float64, takes tiny numbers for 0, and adds up the leaves from the first tree to the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.kernel import kernel

DEFAULT_LEFT, NAN_IS_MISSING = 2, 8
"""Bits of a node's decision: where a missing number goes, and that NaN is missing rather than 0."""
_ZERO = float(np.float32(1e-35))
"""LightGBM takes what is no further from 0 for 0 (`kZeroThreshold`)."""

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forest:
    """T trees with M nodes and L leaves in all; leaf i has the node number ~i.

    Attributes
    ----------
    roots
        int64 (T,): the first node of each tree.
    features, thresholds, decisions
        int64, float64 and uint8 (M,): a number above the threshold goes right.
    children
        int64 (M, 2): the nodes to the left and to the right; a node's number is above its parent's.
    gains
        float32 (M,): what the split gained in training.
    leaves
        float64 (L,): the leaves' log-odds.
    """

    roots: Ints
    features: Ints
    thresholds: Doubles
    decisions: Bytes
    children: Ints
    gains: Floats
    leaves: Doubles

    def logit(self, features: Floats) -> Doubles:
        """Log-odds float64 (B,) of features (B, F): the sum of a leaf of each tree."""
        out = np.zeros(len(features))
        if len(out):  # an empty array may have another layout: another kernel would compile
            nodes = self.features, self.thresholds, self.decisions, self.children
            rows = np.ascontiguousarray(features, np.float32)
            _logit(rows, self.roots, nodes, self.leaves, out)
        return out

    def gain(self, n_features: int) -> Doubles:
        """Gain of all splits by feature, float64 (n_features,)."""
        gains = np.maximum(self.gains.astype(np.float64), 0.0)
        return np.bincount(self.features, gains, n_features).astype(np.float64)


@kernel
def _logit(
    features: Floats,
    roots: Ints,
    nodes: tuple[Ints, Doubles, Bytes, Ints],
    leaves: Doubles,
    out: Doubles,
) -> None:
    columns, thresholds, decisions, children = nodes
    row = np.empty(features.shape[1])
    for r in range(len(features)):
        for f in range(len(row)):
            number = np.float64(features[r, f])
            row[f] = 0.0 if abs(number) <= _ZERO else number
        for root in roots:
            node = root
            while node >= 0:
                value = row[columns[node]]
                if np.isnan(value) and decisions[node] & NAN_IS_MISSING:
                    right = 0 if decisions[node] & DEFAULT_LEFT else 1
                else:
                    value = 0.0 if np.isnan(value) else value
                    right = 0 if value <= thresholds[node] else 1
                node = children[node, right]
            out[r] += leaves[~node]

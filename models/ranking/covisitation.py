"""Co-visitation counts, and the item table that training starts from: their truncated SVD.

Windowed counts -> positive pointwise mutual information -> randomised SVD -> rows of norm 1. It
takes seconds and saves most of the training (measured: docs/lab-notes.md).

References
----------
Levy and Goldberg, "Neural word embedding as implicit matrix factorization", NeurIPS 2014.
Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

WINDOW = 5
"""Pairs lie at most so many events apart."""
CONTEXT_EXPONENT = 0.75
NOISE = 0.02


def counts(
    items: npt.NDArray[np.int64], users: npt.NDArray[np.int64], n_rows: int, window: int = WINDOW
) -> Any:
    """Symmetric co-visitation, sparse (n_rows, n_rows): `forward_counts` in both directions."""
    total = forward_counts(items, users, n_rows, window)
    return total + total.T


def forward_counts(
    items: npt.NDArray[np.int64], users: npt.NDArray[np.int64], n_rows: int, window: int = WINDOW
) -> Any:
    """Count how often the column's item follows the row's, with weight 1 / distance in events.

    Parameters
    ----------
    items
        int64 (n,): item rows of the events, one user after the other, each in time order; row 0
        (unknown) pairs with nothing.
    users
        int64 (n,): user of each event.

    Returns
    -------
    Sparse float64 (n_rows, n_rows).
    """
    total = sparse.csr_matrix((n_rows, n_rows), dtype=np.float64)
    for distance in range(1, window + 1):
        left, right = items[:-distance], items[distance:]
        pair = users[:-distance] == users[distance:]
        pair &= (left != right) & (left > 0) & (right > 0)
        weight = np.full(int(pair.sum()), 1.0 / distance)
        total = total + sparse.csr_matrix(
            (weight, (left[pair], right[pair])), shape=(n_rows, n_rows)
        )
    return total


def ppmi(pairs: Any) -> Any:
    """Positive pointwise mutual information with smoothed contexts; sparse, shaped as `pairs`."""
    found = pairs.tocoo()
    row_sum = np.asarray(pairs.sum(axis=1)).ravel()
    smoothed = row_sum**CONTEXT_EXPONENT
    total = smoothed.sum()
    expected = row_sum[found.row] * smoothed[found.col] / max(total, 1e-12)
    value = np.log(np.maximum(found.data / np.maximum(expected, 1e-12), 1.0))
    return sparse.csr_matrix((value, (found.row, found.col)), shape=pairs.shape)


def start_table(
    items: npt.NDArray[np.int64],
    users: npt.NDArray[np.int64],
    n_rows: int,
    d: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Item table float32 (n_rows, d): rows of norm 1 plus noise.

    Items without a pair get noise of norm 1; row 0 gets noise only. The other parameters are those
    of `counts`.
    """
    matrix = ppmi(counts(items, users, n_rows))
    # A log that holds payments alone has no pairs.
    table = _svd(matrix, min(d, n_rows - 1), rng) if matrix.nnz else np.zeros((n_rows, 0))
    if table.shape[1] < d:
        table = np.pad(table, ((0, 0), (0, d - table.shape[1])))
    norm = np.linalg.norm(table, axis=1, keepdims=True)
    lost = norm[:, 0] < 1e-9
    table = np.where(lost[:, None], rng.normal(0, d**-0.5, table.shape), table / (norm + 1e-12))
    table += rng.normal(0, NOISE, table.shape)
    table[0] = rng.normal(0, NOISE, d)
    started: npt.NDArray[np.float32] = table.astype(np.float32)
    return started


def _svd(matrix: Any, d: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Left singular vectors (n, d), each times the root of its singular value."""
    basis = _orthonormal(matrix @ rng.normal(size=(matrix.shape[1], min(d + 16, matrix.shape[1]))))
    for _ in range(3):
        basis = _orthonormal(matrix @ (matrix.T @ basis))
    across = matrix.T @ basis  # (n, d + 16); its right singular vectors rotate the basis
    squares, rotation = np.linalg.eigh(across.T @ across)
    values = np.sqrt(np.maximum(squares[::-1][:d], 0.0))
    table: npt.NDArray[np.float64] = (basis @ rotation[:, ::-1][:, :d]) * np.sqrt(values)
    return table


def _orthonormal(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Orthonormal columns of the same span, from the small Gram matrix instead of a tall QR."""
    squares, rotation = np.linalg.eigh(columns.T @ columns)
    kept = squares > squares[-1] * 1e-14
    basis: npt.NDArray[np.float64] = columns @ (rotation[:, kept] / np.sqrt(squares[kept]))
    return basis

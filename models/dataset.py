"""Batches of a corpus for torch: pieces of histories of like length, a budget of tokens each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.corpus import Corpus, Ints, chunks


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded pieces (B, L) of histories and what is asked at their positions.

    Attributes
    ----------
    item_rows, kinds, gaps, hours, amounts
        (B, L) tokens.
    asked, targets
        int64 (P,): flat positions b * L + t that have a next item, and its row.
    points, point_rows
        int64 (Q,): flat positions of decision points, and their rows in `Corpus.points`.
    """

    item_rows: Tensor
    kinds: Tensor
    gaps: Tensor
    hours: Tensor
    amounts: Tensor
    asked: Tensor
    targets: Tensor
    points: Tensor
    point_rows: Tensor


@dataclass(frozen=True, slots=True)
class Goals:
    """Per event of the corpus, what may be learnt there.

    Attributes
    ----------
    target_rows
        int64 (n,): row of the next item, 0 where none may be used.
    points
        int64 (n,): row in `Corpus.points`, -1 where there is no point.
    """

    target_rows: Ints
    points: Ints


def batches(
    corpus: Corpus, goals: Goals, *, length: int, tokens: int, rng: np.random.Generator | None
) -> Iterator[Batch]:
    """One pass over the corpus.

    Parameters
    ----------
    length
        Longest piece of a history, in events.
    tokens
        Budget of a batch, padding included.
    rng
        Random cuts and order; None gives the same pass every time.
    """
    starts, sizes = chunks(corpus.users, length, rng)
    wanted = np.add.reduceat((goals.target_rows > 0) | (goals.points >= 0), starts) > 0
    starts, sizes = starts[wanted], sizes[wanted]
    jitter = rng.random(len(sizes)) if rng is not None else np.zeros(len(sizes))
    order = np.argsort(sizes + jitter, kind="stable")
    parts: list[Ints] = []
    begin = 0
    while begin < len(order):
        # Sizes rise along `order`: the batch's last piece is its longest.
        end = begin + 1
        while end < len(order) and (end + 1 - begin) * sizes[order[end]] <= tokens:
            end += 1
        parts.append(order[begin:end])
        begin = end
    turns = rng.permutation(len(parts)) if rng is not None else np.arange(len(parts))
    for turn in turns:
        rows = parts[turn]
        yield gather(corpus, goals, starts[rows], sizes[rows])


def gather(corpus: Corpus, goals: Goals, starts: Ints, sizes: Ints) -> Batch:
    """The batch of the pieces `starts`, `sizes` (B,)."""
    steps = np.arange(int(sizes.max()))
    real = steps < sizes[:, None]  # (B, L)
    index = np.where(real, starts[:, None] + steps, 0)

    def tokens(values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.where(real, values[index], 0).astype(values.dtype))

    flat, real_flat = index.ravel(), real.ravel()
    targets = np.where(real_flat, goals.target_rows[flat], 0)
    points = np.where(real_flat, goals.points[flat], -1)
    asked, at = np.flatnonzero(targets), np.flatnonzero(points >= 0)
    return Batch(
        item_rows=tokens(corpus.item_rows),
        kinds=tokens(corpus.kinds),
        gaps=tokens(corpus.gaps),
        hours=tokens(corpus.hours),
        amounts=tokens(corpus.amounts),
        asked=torch.from_numpy(asked),
        targets=torch.from_numpy(targets[asked]),
        points=torch.from_numpy(at),
        point_rows=torch.from_numpy(points[at]),
    )

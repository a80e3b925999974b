"""Batches of a corpus for torch: pieces of histories of similar length, within a token budget."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.training.corpus import Corpus, Ints, chunks
from models.training.labels import Split


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded pieces (B, L) of histories, and the questions at their positions.

    Attributes
    ----------
    item_rows, kinds, gaps, hours, amounts
        (B, L) tokens.
    asked, targets
        int64 (P,): flat positions b * L + t that have a next item, and its row.
    points, point_rows
        int64 (Q,): flat positions of decision points, and their rows in `Corpus.points`.
    features
        float32 (Q, F): features at the points.
    churn, risk
        int8 (Q,): labels of the points, -1 where none may be used.
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
    features: Tensor
    churn: Tensor
    risk: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        if device.type == "cpu":
            return self
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, slots=True)
class Goals:
    """What may be learnt at each event of the corpus.

    Attributes
    ----------
    target_rows
        int64 (n,): row of the next item, 0 where none may be used.
    points
        int64 (n,): row in `Corpus.points`, -1 where there is no point.
    churn, risk
        int8 (P,): labels of the points, -1 where none may be used.
    """

    target_rows: Ints
    points: Ints
    churn: npt.NDArray[np.int8]
    risk: npt.NDArray[np.int8]

    @staticmethod
    def training(corpus: Corpus, split: Split) -> Goals:
        """The goals of the split's training part."""
        return Goals(
            np.where(split.train_items, split.target_rows, 0),
            _points(corpus),
            np.where(split.train_churn, corpus.points.churn, -1).astype(np.int8),
            np.where(split.train_risk, corpus.points.risk, -1).astype(np.int8),
        )

    @staticmethod
    def items(target_rows: Ints, corpus: Corpus) -> Goals:
        """Next items only, without the points' features."""
        none = np.full(len(corpus.points.event), -1, dtype=np.int8)
        return Goals(target_rows, np.full(len(corpus), -1), none, none)

    @staticmethod
    def states(corpus: Corpus) -> Goals:
        """The decision points, without questions."""
        none = np.full(len(corpus.points.event), -1, dtype=np.int8)
        return Goals(np.zeros(len(corpus), dtype=np.int64), _points(corpus), none, none)


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over a corpus: which pieces of histories make up each batch.

    Attributes
    ----------
    starts, sizes
        int64 (C,): first event and number of events of each piece.
    parts
        Rows of `starts` and `sizes`, an array for each batch.
    """

    corpus: Corpus
    goals: Goals
    starts: Ints
    sizes: Ints
    parts: list[Ints]

    def __len__(self) -> int:
        return len(self.parts)

    def batch(self, number: int, rank: int = 0, size: int = 1) -> Batch:
        """Gather batch `number`, or the share of it of process `rank` of `size`.

        No share is empty: with fewer pieces than processes, the other processes get the first
        piece without its questions.
        """
        rows = self.parts[number]
        share = rows[rank::size]
        if len(share):
            return gather(self.corpus, self.goals, self.starts[share], self.sizes[share])
        first = rows[:1]
        nothing = Goals.items(np.zeros(len(self.corpus), dtype=np.int64), self.corpus)
        return gather(self.corpus, nothing, self.starts[first], self.sizes[first])


def one_pass(
    corpus: Corpus, goals: Goals, *, length: int, tokens: int, rng: np.random.Generator | None
) -> Pass:
    """Plan one pass over the corpus.

    Parameters
    ----------
    length
        Longest piece of a history, in events.
    tokens
        Budget of a batch, padding included.
    rng
        Random cuts and order; None gives the same pass every time.
    """
    starts, sizes = chunks(corpus.sequences, length, rng)
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
    return Pass(corpus, goals, starts, sizes, [parts[turn] for turn in turns])


def gather(corpus: Corpus, goals: Goals, starts: Ints, sizes: Ints) -> Batch:
    """Gather the pieces `starts`, `sizes` (B,) into a batch."""
    steps = np.arange(int(sizes.max()))
    real = steps < sizes[:, None]  # (B, L)
    index = np.where(real, starts[:, None] + steps, 0)

    def tokens(values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.where(real, values[index], 0).astype(values.dtype))

    flat, real_flat = index.ravel(), real.ravel()
    targets = np.where(real_flat, goals.target_rows[flat], 0)
    points = np.where(real_flat, goals.points[flat], -1)
    asked, at = np.flatnonzero(targets), np.flatnonzero(points >= 0)
    rows = points[at]
    return Batch(
        item_rows=tokens(corpus.item_rows),
        kinds=tokens(corpus.kinds),
        gaps=tokens(corpus.gaps),
        hours=tokens(corpus.hours),
        amounts=tokens(corpus.amounts),
        asked=torch.from_numpy(asked),
        targets=torch.from_numpy(targets[asked]),
        points=torch.from_numpy(at),
        point_rows=torch.from_numpy(rows),
        features=torch.from_numpy(corpus.points.features[rows]),
        churn=torch.from_numpy(goals.churn[rows]),
        risk=torch.from_numpy(goals.risk[rows]),
    )


def _points(corpus: Corpus) -> Ints:
    """Row in `Corpus.points` of each event, -1 where there is none -> int64 (n,)."""
    points = np.full(len(corpus), -1, dtype=np.int64)
    points[corpus.points.event] = np.arange(len(corpus.points.event))
    return points

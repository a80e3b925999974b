"""The training loop: batches in, the epoch that validated best out."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from models import heads
from models import loss as losses
from models.corpus import Corpus
from models.dataset import Batch, Goals, batches
from models.network import Network
from models.splits import Split

Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1) and a line on how it goes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; what to train is `NetworkConfig`.

    `max_seconds` ends training early whatever it has reached. A run that isn't cut short by it
    depends on the seed and the data only.
    """

    seed: int = 0
    epochs: int = 6
    max_seconds: float = 60.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    clip: float = 5.0
    batch_tokens: int = 1_024
    patience: int = 3
    validation_targets: int = 2_000


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the training curve; `mrr` is the validation part's."""

    number: int
    seconds: float
    train_loss: float
    mrr: float


class Loop:
    """The loop's state: parameters, optimiser, clock and the best epoch so far."""

    def __init__(
        self,
        network: Network,
        table: nn.Parameter,
        bias: nn.Parameter,
        corpus: Corpus,
        split: Split,
        settings: Settings,
    ) -> None:
        self.network, self.table, self.bias = network, table, bias
        self.corpus, self.split, self.settings = corpus, split, settings
        self.goals = _goals(corpus, split)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.features = torch.from_numpy(corpus.points.features)
        self.heads = _head_labels(corpus, split)
        self.has_items = bool(split.train_items.any())
        self.curve: list[Epoch] = []
        self.cut_short = False
        decay: list[nn.Parameter] = []
        plain: list[nn.Parameter] = [table, bias]
        for parameter in network.parameters():
            (decay if parameter.ndim > 1 else plain).append(parameter)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decay, "weight_decay": settings.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
        )

    def parts(self, rng: np.random.Generator | None) -> Iterator[Batch]:
        return batches(
            self.corpus,
            self.goals,
            length=self.network.config.length,
            tokens=self.settings.batch_tokens,
            rng=rng,
        )

    def run(self, rng: np.random.Generator, progress: Progress) -> None:
        settings = self.settings
        started = time.monotonic()
        best, best_mrr, since_best, step = self._copy(), -math.inf, 0, 0
        number, epochs = 0, settings.epochs
        while number < epochs:
            total, seen = 0.0, 0
            parts = list(self.parts(rng))
            for i, batch in enumerate(parts):
                if time.monotonic() - started >= settings.max_seconds:
                    self.cut_short = True
                    break
                share = (number + i / len(parts)) / epochs
                total += self._step(batch, step, share)
                step, seen = step + 1, seen + 1
                progress(share, f"epoch {number + 1} of {epochs}, loss {total / seen:.3f}")
            mrr = self.validate()
            number += 1
            seconds = time.monotonic() - started
            self.curve.append(Epoch(number, seconds, total / max(seen, 1), mrr))
            since_best += 1
            if mrr > best_mrr:
                best, best_mrr, since_best = self._copy(), mrr, 0
            if since_best >= settings.patience or seconds >= settings.max_seconds:
                break
            # On a machine too slow for all of them, decay over the epochs that do fit.
            fit_in = int(settings.max_seconds / (seconds / number))
            if fit_in < epochs:
                epochs, self.cut_short = max(fit_in, number), True
        self._restore(best)

    def _step(self, batch: Batch, step: int, share: float) -> float:
        warm = min(1.0, (step + 1) / self.settings.warm_up_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * warm * (1.0 - 0.95 * min(share, 1.0))
        self.network.train()
        self.optimiser.zero_grad()
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.network.parameters(), self.table], self.settings.clip)
        self.optimiser.step()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        network = self.network
        known = network.standardise(self.features[batch.point_rows])
        states = self.states(batch, known)
        total = states.sum() * 0.0
        if len(batch.asked):
            queries = network.item(states[batch.asked])
            total = total + losses.next_item(
                queries, batch.targets, self.table, self.bias, self.generator
            )
        if self.has_items:
            return total
        at_points = states[batch.points]
        for head, labels in ((network.churn, self.heads[0]), (network.risk, self.heads[1])):
            answers = labels[batch.point_rows]
            use = answers >= 0
            if use.any():
                logits = head(at_points[use], known[use])
                answer = F.binary_cross_entropy_with_logits(logits, answers[use])
                total = total + answer
        return total

    def states(self, batch: Batch, known: Tensor) -> Tensor:
        """Answer states, flat (B * L, d); `known` (Q, F) are the points' features."""
        network = self.network
        events = network.encode(
            batch.item_rows, batch.kinds, batch.gaps, batch.hours, batch.amounts, self.table
        )
        b, length, d = events.shape
        just_now = torch.ones((), dtype=torch.int64)
        asked = (network.no_features + network.since(just_now)).expand(b * length, d)
        given = network.features(known) - network.no_features
        asked = asked.index_add(0, batch.points, given)
        return network.states(events, asked.view(b, length, d)).view(b * length, d)

    def fit_heads(self) -> None:
        """Replace both heads by ones fitted to the encoder as it now is, where labels exist."""
        network, split = self.network, self.split
        parts = {
            "churn": (self.corpus.points.churn, split.train_churn, split.validation_churn),
            "risk": (self.corpus.points.risk, split.train_risk, split.validation_risk),
        }
        if not any(train.any() for _, train, _ in parts.values()):
            return
        states, known = self.point_states()
        for name, (labels, train, validation) in parts.items():
            if train.any():
                samples = heads.HeadSamples(
                    states, known, torch.from_numpy(labels.astype(np.float32)), train, validation
                )
                setattr(network, name, heads.fit_head(network.config, samples, self.settings.seed))

    @torch.no_grad()
    def point_states(self) -> tuple[Tensor, Tensor]:
        """Answer states (P, d) and standardised features (P, F) of all decision points."""
        network = self.network.eval()
        known = network.standardise(self.features)
        states = torch.zeros(len(known), network.config.d)
        goals = Goals(np.zeros_like(self.goals.target_rows), self.goals.points)
        for batch in batches(
            self.corpus,
            goals,
            length=network.config.length,
            tokens=16 * self.settings.batch_tokens,
            rng=None,
        ):
            states[batch.point_rows] = self.states(batch, known[batch.point_rows])[batch.points]
        return states, known

    @torch.no_grad()
    def validate(self) -> float:
        """Mean reciprocal rank of the next item on the validation part, whole catalogue."""
        self.network.eval()
        rows = self.split.validation_items
        if not rows.any():
            return -self.curve[-1].train_loss if self.curve else 0.0
        rng = np.random.default_rng(0)
        asked = np.flatnonzero(rows)
        asked = rng.permutation(asked)[: self.settings.validation_targets]
        targets = np.zeros_like(self.split.target_rows)
        targets[asked] = self.split.target_rows[asked]
        goals = Goals(targets, np.full(len(self.corpus), -1))
        ranks: list[Tensor] = []
        none = torch.zeros(0, self.network.config.n_features)
        for batch in batches(
            self.corpus,
            goals,
            length=self.network.config.length,
            tokens=16 * self.settings.batch_tokens,
            rng=None,
        ):
            states = self.states(batch, none)[batch.asked]
            logits = self.network.item_logits(states, self.table, self.bias)[:, 1:]
            wanted = logits.gather(1, batch.targets[:, None] - 1)
            ranks.append((logits > wanted).sum(1) + 1)
        return float((1.0 / torch.cat(ranks)).mean())

    def _copy(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        return (
            copy.deepcopy(self.network.state_dict()),
            self.table.detach().clone(),
            self.bias.detach().clone(),
        )

    def _restore(self, best: tuple[dict[str, Tensor], Tensor, Tensor]) -> None:
        self.network.load_state_dict(best[0])
        with torch.no_grad():
            self.table.copy_(best[1])
            self.bias.copy_(best[2])


def _goals(corpus: Corpus, split: Split) -> Goals:
    points = np.full(len(corpus), -1, dtype=np.int64)
    points[corpus.points.event] = np.arange(len(corpus.points.event))
    return Goals(np.where(split.train_items, split.target_rows, 0), points)


def _head_labels(corpus: Corpus, split: Split) -> tuple[Tensor, Tensor]:
    churn = np.where(split.train_churn, corpus.points.churn, -1)
    risk = np.where(split.train_risk, corpus.points.risk, -1)
    return (
        torch.from_numpy(churn.astype(np.float32)),
        torch.from_numpy(risk.astype(np.float32)),
    )

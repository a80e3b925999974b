"""The training loop: batches in, the epoch that validated best out.

Randomness is a function of the seed and the position: every epoch plans its batches from (seed,
epoch), every step draws from (seed, step, process). So a killed run resumes from a checkpoint
without stored generators and gives the same result as a run that wasn't killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.training import checkpoint
from models.training.checkpoint import Epoch, Position, Settings
from models.training.corpus import Corpus
from models.training.dataset import Batch, Goals, Pass, one_pass
from models.training.labels import Split
from models.training.learner import Learner
from models.training.processes import Group

TOKENS = 16_384


class Validation:
    """A fixed sample of the validation part's questions.

    Parameters
    ----------
    limit
        Largest number of questions.
    """

    def __init__(self, corpus: Corpus, split: Split, limit: int) -> None:
        rows = np.flatnonzero(split.validation_items)
        asked = np.random.default_rng(0).permutation(rows)[:limit]
        targets = np.zeros(len(corpus), dtype=np.int64)
        targets[asked] = split.target_rows[asked]
        self.questions = len(asked)
        self._corpus, self._goals = corpus, Goals.items(targets, corpus)

    @torch.no_grad()
    def mrr(self, learner: Learner, group: Group) -> float | None:
        """Mean reciprocal rank of the next item in the whole catalogue; None without questions."""
        if not self.questions:
            return None
        learner.eval()
        network = learner.network
        planned = one_pass(
            self._corpus, self._goals, length=network.config.length, tokens=TOKENS, rng=None
        )
        total = torch.zeros((), dtype=torch.float64, device=group.device)
        for number in range(group.rank, len(planned), group.size):
            batch = planned.batch(number).to(group.device)
            states = learner.states(batch)[batch.asked]
            logits = network.item_logits(states, learner.table, learner.bias)[:, 1:]
            wanted = logits.gather(1, batch.targets[:, None] - 1)
            total += (1.0 / ((logits > wanted).sum(1) + 1)).sum()
        return float(group.total(total)) / self.questions


Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1) and a line of progress."""

FINAL_RATE = 0.05
"""The learning rate decays to this share of itself, linearly."""


class Loop:
    """The loop's state: weights, best weights so far, optimiser and position.

    Parameters
    ----------
    kept
        Checkpoint file from which a killed run resumes; None keeps no checkpoint.
    """

    def __init__(
        self,
        learner: Learner,
        corpus: Corpus,
        split: Split,
        settings: Settings,
        group: Group | None = None,
        kept: Path | None = None,
    ) -> None:
        self.group = group or Group()
        self.learner = learner.to(self.group.device)
        self.corpus, self.settings = corpus, settings
        self.goals = Goals.training(corpus, split)
        self.validation = Validation(corpus, split, settings.validation_targets)
        self.optimiser = _optimiser(self.learner, settings)
        self.position = Position(settings.epochs)
        self.best = self._copy()
        self.start = checkpoint.digest(self.best)  # digest of the initial weights
        self.kept = kept
        if kept is not None:
            checkpoint.restore(kept, self)
        self._asks = self._joined()
        self._written = time.monotonic()

    def run(self, progress: Progress) -> None:
        """Train to the end; the learner then has the best epoch's weights."""
        at = self.position
        started = time.monotonic() - at.seconds
        while not at.finished:
            planned = self.planned(len(at.curve))
            self._epoch(planned, started, progress)
            loss = at.total / max(at.batch, 1)
            mrr = self.validation.mrr(self.learner, self.group)
            mrr = -loss if mrr is None else mrr
            at.seconds = time.monotonic() - started
            at.curve.append(Epoch(len(at.curve) + 1, at.seconds, loss, mrr))
            at.batch, at.total, at.since_best = 0, 0.0, at.since_best + 1
            if mrr > at.best_mrr:
                self.best, at.best_mrr, at.since_best = self._copy(), mrr, 0
            self._end()
            self._keep()
        self.learner.load_state_dict(self.best)

    def planned(self, epoch: int) -> Pass:
        """Plan the batches of an epoch, the same at every call."""
        return one_pass(
            self.corpus,
            self.goals,
            length=self.learner.network.config.length,
            tokens=self.settings.batch_tokens,
            rng=np.random.default_rng([self.settings.seed, epoch]),
        )

    def _epoch(self, planned: Pass, started: float, progress: Progress) -> None:
        at, settings, group = self.position, self.settings, self.group
        done = len(at.curve)
        while at.batch < len(planned):
            at.seconds = time.monotonic() - started
            if group.agreed(at.seconds >= settings.max_seconds):
                at.cut_short = True
                return
            share = (done + at.batch / len(planned)) / at.epochs
            batch = planned.batch(at.batch, group.rank, group.size)
            at.total += self.step(batch.to(group.device), share)
            at.batch += 1
            progress(share, f"epoch {done + 1} of {at.epochs}, loss {at.total / at.batch:.3f}")
            if time.monotonic() - self._written >= settings.checkpoint_s:
                self._keep()

    def step(self, batch: Batch, share: float) -> float:
        """Take a step at `share` of the whole run; returns the loss before it, of all processes."""
        settings, group, at = self.settings, self.group, self.position
        warm = min(1.0, (at.step + 1) / settings.warm_up_steps)
        for parameters in self.optimiser.param_groups:
            rate = settings.learning_rate * warm
            parameters["lr"] = rate * (1.0 - (1.0 - FINAL_RATE) * min(share, 1.0))
        torch.manual_seed(_seed(settings.seed, at.step, group.rank))
        self.learner.train()
        self.optimiser.zero_grad()
        sums, counts = self._asks(batch)
        counts = group.total(counts).clamp(min=1)
        # Each process has its share of every mean, and DDP averages gradients: hence the factor.
        loss = (sums / counts).sum()
        (loss * group.size).backward()
        nn.utils.clip_grad_norm_(self.learner.parameters(), settings.clip)
        self.optimiser.step()
        at.step += 1
        return float(group.total(loss.detach()))

    def _end(self) -> None:
        """Decide whether another epoch follows."""
        at, settings = self.position, self.settings
        # On a slow machine, decay the learning rate over the epochs that fit into the time.
        fit_in = int(settings.max_seconds / max(at.seconds / len(at.curve), 1e-9))
        slow = self.group.agreed(fit_in < at.epochs)
        if slow:
            at.epochs, at.cut_short = max(fit_in, len(at.curve)), True
        at.finished = (
            len(at.curve) >= at.epochs
            or at.since_best >= settings.patience
            or self.group.agreed(at.seconds >= settings.max_seconds)
        )

    def _keep(self) -> None:
        if self.kept is not None and self.group.leads:
            checkpoint.write(self.kept, self)
        self._written = time.monotonic()

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.learner.state_dict().items()}

    def _joined(self) -> nn.Module:
        if self.group.size == 1:
            return self.learner
        # A batch may lack the labels of a head.
        return DistributedDataParallel(self.learner, find_unused_parameters=True)


def _optimiser(learner: Learner, settings: Settings) -> torch.optim.AdamW:
    decay: list[nn.Parameter] = []
    plain: list[nn.Parameter] = [learner.table, learner.bias]
    for parameter in learner.network.parameters():
        (decay if parameter.ndim > 1 else plain).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )


def _seed(seed: int, step: int, rank: int) -> int:
    """Seed of a step in a process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)

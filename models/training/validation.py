"""How well the network ranks the next item on the validation part, while it trains."""

from __future__ import annotations

import numpy as np
import torch

from models.training.corpus import Corpus
from models.training.dataset import Goals, one_pass
from models.training.learner import Learner
from models.training.processes import Group
from models.training.splits import Split

TOKENS = 16_384


class Validation:
    """A fixed sample of the validation part's questions.

    Parameters
    ----------
    limit
        Most questions asked.
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
        """Mean reciprocal rank of the next item, whole catalogue; None without questions."""
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

"""The trained module: the network with its item table, from a batch to the sums of its losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from models.network.loss import NextItemLoss
from models.network.network import Network
from models.training.dataset import Batch


class Learner(nn.Module):
    """Network, item table (N + 1, d) and item bias (N + 1,) as one module.

    Parameters
    ----------
    next_item
        Loss of the next-item questions; None where the log has no items: then the labels of the
        decision points train the encoder.
    """

    def __init__(
        self, network: Network, table: Tensor, bias: Tensor, next_item: NextItemLoss | None
    ) -> None:
        super().__init__()
        self.network = network
        self.table = nn.Parameter(table)
        self.bias = nn.Parameter(bias)
        self.next_item = next_item

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sums of the losses of next item, churn and risk, and how many answers each sums; (3,)."""
        network = self.network
        states = self.states(batch)
        if self.next_item is not None:
            queries = network.item(states[batch.asked])
            loss = self.next_item(queries, batch.targets, self.table, self.bias)
            none = loss.new_zeros(())
            counts = torch.tensor([len(batch.targets), 0, 0], device=loss.device)
            return torch.stack([loss, none, none]), counts
        at_points = states[batch.points]
        known = network.standardise(batch.features)
        sums, numbers = [states.new_zeros(())], [states.new_zeros(())]
        for head, answers in ((network.churn, batch.churn), (network.risk, batch.risk)):
            use = answers >= 0
            logits = head(at_points[use], known[use])
            right = answers[use].float()
            sums.append(F.binary_cross_entropy_with_logits(logits, right, reduction="sum"))
            numbers.append(use.sum())
        return torch.stack(sums), torch.stack(numbers).long()

    def states(self, batch: Batch) -> Tensor:
        """Answer states, flat (B * L, d): decision points ask with their features."""
        network = self.network
        events = network.encode(
            batch.item_rows, batch.kinds, batch.gaps, batch.hours, batch.amounts, self.table
        )
        b, length, d = events.shape
        just_now = torch.ones((), dtype=torch.int64, device=events.device)
        asked = (network.no_features + network.since(just_now)).expand(b * length, d)
        known = network.standardise(batch.features)
        given = network.features(known) - network.no_features
        asked = asked.index_add(0, batch.points, given)
        return network.states(events, asked.view(b, length, d)).view(b * length, d)

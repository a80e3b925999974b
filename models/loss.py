"""Next-item losses: full softmax in chunks for small catalogues, sampled above."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom
from torch.utils.checkpoint import checkpoint

FULL_SOFTMAX_ITEMS = 4_000
"""Above this many items the sampled softmax is faster than it is worse."""
CHUNK_ROWS = 1_024
NEGATIVES = 1_024


def full_softmax(queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """Mean cross-entropy over the whole catalogue.

    Parameters
    ----------
    queries
        float32 (P, d).
    targets
        int64 (P,): rows of the table, 1..N. Row 0, the unknown item, competes for nothing.
    table, bias
        float32 (N + 1, d) and (N + 1,).

    Returns
    -------
    Tensor
        float32 scalar. Logits of `CHUNK_ROWS` rows exist at a time: they are computed again
        in the backward pass instead of being stored.
    """

    def chunk(part: Tensor, wanted: Tensor) -> Tensor:
        logits = F.linear(part, table[1:], bias[1:])
        return F.cross_entropy(logits, wanted - 1, reduction="sum")

    total = queries.new_zeros(())
    for start in range(0, len(targets), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        loss = checkpoint(chunk, queries[rows], targets[rows], use_reentrant=False)
        total = total + loss
    return total / max(len(targets), 1)


def sampled_softmax(
    queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean cross-entropy against shared negatives, half uniform, half from the batch's targets.

    Each logit is lowered by the log of how often its item is expected among the candidates
    (logQ), which makes the sampled gradient an estimate of the full one.

    References
    ----------
    Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
    RecSys 2019.
    """
    n_items, half = len(table) - 1, NEGATIVES // 2
    uniform = torch.randint(1, n_items + 1, (half,), generator=generator)
    in_batch = targets[torch.randint(0, len(targets), (half,), generator=generator)]
    negatives = torch.cat([uniform, in_batch])  # (S,)
    share = torch.bincount(targets, minlength=n_items + 1).float() / len(targets)
    log_expected = torch.log(half / n_items + half * share)  # (N + 1,)
    positive = (queries * table[targets]).sum(-1) + bias[targets] - log_expected[targets]
    logits = F.linear(queries, table[negatives], bias[negatives] - log_expected[negatives])
    logits = logits.masked_fill(negatives[None, :] == targets[:, None], -torch.inf)
    both = torch.cat([positive[:, None], logits], dim=1)  # (P, 1 + S)
    return F.cross_entropy(both, torch.zeros_like(targets))


def next_item(
    queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor, generator: torch.Generator
) -> Tensor:
    """The loss that fits the catalogue's size."""
    if len(table) - 1 <= FULL_SOFTMAX_ITEMS:
        return full_softmax(queries, targets, table, bias)
    return sampled_softmax(queries, targets, table, bias, generator)

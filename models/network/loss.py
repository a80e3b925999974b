"""Next-item losses: full softmax for small catalogues, sampled softmax for large catalogues."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

NextItemLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(queries, targets, table, bias) -> the summed loss."""

FULL_SOFTMAX_ITEMS = 20_000
"""Largest catalogue for the full softmax; above it, the sampled softmax's speed outweighs its loss
of quality."""
CHUNK_LOGITS = 1_600_000
"""Logits that exist at a time; they fit into a core's share of the cache."""
NEGATIVES = 2_048
"""Uniform draws of the sampled softmax."""
LEAST = 1e-30
"""Probability below which the loss (not its gradient) stops growing."""


class _SummedCrossEntropy(torch.autograd.Function):
    """Cross-entropy over all rows of a table, with the gradient computed in the same pass.

    The gradient of a softmax needs only the softmax, so each chunk of logits is used at once:
    nothing of size (P, N) is stored, and nothing is computed twice.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        rows = max(1, min(len(queries), CHUNK_LOGITS // len(table)))
        logits = queries.new_empty(rows, len(table))
        shares = torch.empty_like(logits)
        d_queries = torch.empty_like(queries)
        d_table, d_bias = torch.zeros_like(table), torch.zeros_like(bias)
        total = queries.new_zeros(())
        for start in range(0, len(queries), rows):
            part = queries[start : start + rows]
            wanted = targets[start : start + rows, None]
            logit, share = logits[: len(part)], shares[: len(part)]
            torch.addmm(bias, part, table.T, out=logit)
            torch.softmax(logit, dim=1, out=share)
            right = share.gather(1, wanted)
            total -= right.clamp(min=LEAST).log().sum()
            share.scatter_(1, wanted, right - 1.0)  # now the gradient with respect to the logits
            torch.mm(share, table, out=d_queries[start : start + rows])
            d_table.addmm_(share.T, part)
            d_bias += share.sum(0)
        ctx.save_for_backward(d_queries, d_table, d_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        d_queries, d_table, d_bias = ctx.saved_tensors
        return d_queries * grad, None, d_table * grad, d_bias * grad


def full_softmax(queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """Summed cross-entropy over the whole catalogue.

    Parameters
    ----------
    queries
        float32 (P, d).
    targets
        int64 (P,): rows of the table, 1..N. Row 0, the unknown item, takes no part.
    table, bias
        float32 (N + 1, d) and (N + 1,).

    Returns
    -------
    Tensor
        float32 scalar.
    """
    total: Tensor = _SummedCrossEntropy.apply(queries, targets - 1, table[1:], bias[1:])
    return total


def sampled_softmax(queries: Tensor, targets: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """`full_softmax`, with most of the catalogue estimated from a sample.

    All targets of the batch, which nearly always include the popular items, enter every
    denominator exactly. The other items' part is estimated from `NEGATIVES` uniform draws, each
    raised by the log of the number of items that it represents (logQ). Given the batch, the
    estimate of the denominator is unbiased.

    References
    ----------
    Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
    RecSys 2019.
    """
    n_items = len(table) - 1
    wanted, place = torch.unique(targets, return_inverse=True)
    drawn = torch.unique(torch.randint(1, n_items + 1, (NEGATIVES,), device=targets.device))
    drawn = drawn[~torch.isin(drawn, wanted)]
    stands_for = (n_items - len(wanted)) / max(len(drawn), 1)
    rows = torch.cat([wanted, drawn])  # (S,)
    raised = bias[rows] + F.pad(bias.new_full((len(drawn),), math.log(max(stands_for, 1.0))),
                                (len(wanted), 0))  # fmt: skip
    total: Tensor = _SummedCrossEntropy.apply(queries, place, table[rows], raised)
    return total


def for_catalogue(n_items: int) -> NextItemLoss:
    """Choose the loss for a catalogue's size."""
    return full_softmax if n_items <= FULL_SOFTMAX_ITEMS else sampled_softmax

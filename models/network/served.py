"""The network as it is served: an answer per history, arranged for speed.

It computes the function of `Network.encode` and `Network.answer` with the same weights, in the form
that ONNX Runtime runs fastest. All tokens are in a flat array, so every dense layer is a single
product with bias and ReLU fused. The attention's scale is folded into the query's weights. Keys and
values have separate weights, so no tensor is split. Every export is compared with the network.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from models.network.network import MASKED, Head, Layer, Network

UNSEEN = -60.0
"""Replaces `MASKED`. Its exp() is below 1e-26, which is nothing in fp32. The exp() of `MASKED`
passes through denormal numbers, for which processors take seven times as long."""


class Served(nn.Module):
    """Histories in, answers at the newest event out; the catalogue is an input.

    `features` may have Q rows per history, which is read once and gets an answer for each of them.

    The catalogue is two inputs, one for reading events and one for choosing candidates, so that an
    engine that chooses elsewhere (`OnnxEngine`) can pass a small table for the latter.

    Parameters
    ----------
    network
        The trained network.
    candidates
        K, the number of candidates.
    dtype
        Type of the encoder and the heads: fp16 for a GPU. Inputs, outputs and the choice among
        items stay fp32: in fp16, items with close logits would tie.
    """

    def __init__(
        self, network: Network, candidates: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(dtype)
        # Features span more than fp16 holds until they are standardised.
        self.network.feature_mean = network.feature_mean
        self.network.feature_scale = network.feature_scale
        self.candidates = candidates
        self.dtype = dtype

    def forward(
        self,
        item_rows: Tensor,
        kinds: Tensor,
        gaps: Tensor,
        hours: Tensor,
        amounts: Tensor,
        features: Tensor,
        lengths: Tensor,
        item_table: Tensor,
        candidate_table: Tensor,
        candidate_bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        net = self.network
        b, length = item_rows.shape
        before = torch.cat([torch.zeros_like(gaps[:, :1]), gaps[:, :-1]], dim=1)
        x = (
            F.embedding(item_rows.reshape(-1), item_table.to(self.dtype))
            + net.kind(kinds.reshape(-1))
            + net.gap(before.reshape(-1))
            + net.hour(hours.reshape(-1))
            + net.amount(amounts.reshape(-1, 1).to(self.dtype))
        )  # (B * L, d)
        for layer in net.below:
            assert isinstance(layer, Layer)
            x = _layer(layer, x, b, _mask(layer)[:, :length, :length])
        newest = lengths - 1  # (B,)
        known = net.standardise(features).to(self.dtype)  # (B * Q, F)
        since = gaps.gather(1, newest.unsqueeze(1)).reshape(-1)
        asking = x[torch.arange(b, device=x.device) * length + newest] + net.since(since)  # (B, d)
        asking = asking.unsqueeze(1) + net.features(known).view(b, -1, net.config.d)  # (B, Q, d)
        seen = _mask(net.last).transpose(0, 1)[newest][:, :, :length]  # (B, h, L)
        state = net.norm(_newest(net.last, asking.view(-1, net.config.d), x, b, seen))
        queries = net.item(state).float()
        logits = F.linear(queries, candidate_table, candidate_bias)
        scores, candidates = logits.topk(self.candidates, dim=1)
        return (
            candidates,
            scores,
            queries,
            _logit(net.churn, state, known),
            _logit(net.risk, state, known),
        )


def _layer(layer: Layer, events: Tensor, b: int, mask: Tensor) -> Tensor:
    """`Layer.forward` over flat tokens `events` (B * L, d), with a query for each."""
    d = layer.query.out_features  # from the weights, so that it is a constant of the graph
    scale = (d // layer.heads) ** -0.5
    seen = layer.norm_attention(events)
    (key, value), (key_bias, value_bias) = (
        layer.key_value.weight.chunk(2),
        layer.key_value.bias.chunk(2),
    )

    def heads(x: Tensor) -> Tensor:
        return x.view(b, -1, layer.heads, d // layer.heads)

    query = heads(F.linear(seen, layer.query.weight * scale, layer.query.bias * scale))
    keys = heads(F.linear(seen, key, key_bias)).permute(0, 2, 3, 1)  # (B, h, d / h, L)
    values = heads(F.linear(seen, value, value_bias)).transpose(1, 2)
    weights = (query.transpose(1, 2) @ keys + mask).softmax(dim=-1)
    mixed = (weights @ values).transpose(1, 2).reshape(-1, d)
    return _mlp(layer, events + layer.out(mixed))


def _newest(layer: Layer, asking: Tensor, events: Tensor, b: int, mask: Tensor) -> Tensor:
    """`Layer.forward` with Q queries per history: `asking` (B * Q, d), `events` (B * L, d).

    No key or value is computed. The key's weights are applied to the query instead of to every
    event, and the value's weights to the mixture. A key's bias adds the same to all events of a
    history, which softmax cancels; a value's bias is the same in every mixture, so it is added
    once.
    """
    d, h = layer.query.out_features, layer.heads
    key, value = (part.view(h, -1, d) for part in layer.key_value.weight.chunk(2))  # (h, d / h, d)
    turn = key.transpose(1, 2) * (d // h) ** -0.5
    turned = F.linear(
        layer.norm_attention(asking),
        (turn @ layer.query.weight.view(h, -1, d)).reshape(-1, d),
        (turn @ layer.query.bias.view(h, -1, 1)).reshape(-1),
    ).view(b, -1, d)  # (B, Q * h, d)
    seen = layer.norm_attention(events).view(b, -1, d)
    near = (turned @ seen.transpose(1, 2)).view(b, -1, h, mask.shape[2]) + mask.unsqueeze(1)
    weights = near.softmax(dim=-1).view(b, -1, mask.shape[2])  # (B, Q * h, L)
    mixed = (weights @ seen).view(-1, h * d)  # (B * Q, h * d)
    out = layer.out.weight.view(d, h, -1).transpose(0, 1) @ value  # (h, d, d)
    bias = layer.out(layer.key_value.bias.chunk(2)[1])
    return _mlp(layer, asking + F.linear(mixed, out.transpose(0, 1).reshape(d, -1), bias))


def _mlp(layer: Layer, x: Tensor) -> Tensor:
    after: Tensor = x + layer.down(torch.relu(layer.up(layer.norm_mlp(x))))
    return after


def _mask(layer: Layer) -> Tensor:
    mask = layer.mask()
    return torch.where(mask == MASKED, torch.full_like(mask, UNSEEN), mask)


def _logit(head: Head, state: Tensor, known: Tensor) -> Tensor:
    hidden = torch.relu(head.hidden(torch.cat([state, known], dim=-1)))
    logit: Tensor = head.out(hidden).float().reshape(-1)
    return logit

"""The multi-task transformer: a history in, next item, churn and risk out.

Tokens are events; every layer but the last runs causally over all of them. The **last** layer
asks the question: its query is the state of an event plus the feature vector known at that moment
and the time since that event; its keys and values are the events up to it. Training asks at every
position at once (`Network.states`), serving at the newest only (`Network.answer`). Weights and
arithmetic are the same, so the served network is the trained network.

There are no absolute positions. Each head adds a learned bias per distance in events, and gaps in
time are part of the tokens. The bias shares an addition with the causal mask, so it costs nothing.
Keys and values of old events never change, so an incremental engine can cache them.

The token of event t carries the gap *before* it: `gaps[t]` looks forward, to the next event or to
now, and would leak the future.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from models.network.dropout import Dropout

MASKED = -1e4
"""Added where a query may not look; its exp() is 0 in fp32, and it fits into fp16."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything that shapes the network, and dropout."""

    n_features: int
    n_kinds: int
    n_gaps: int
    n_hours: int
    d: int = 64
    layers: int = 2
    heads: int = 2
    length: int = 64
    head_width: int = 32
    dropout: float = 0.2


class Layer(nn.Module):
    """A pre-norm transformer layer with a bias per head and distance."""

    distance: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        d, self.heads = config.d, config.heads
        self.norm_attention = nn.LayerNorm(d)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)
        self.norm_mlp = nn.LayerNorm(d)
        self.up = nn.Linear(d, 4 * d)
        self.down = nn.Linear(4 * d, d)
        self.drop = Dropout(config.dropout)
        steps = torch.arange(config.length)
        self.register_buffer("distance", steps[:, None] - steps[None, :], persistent=False)
        # Half of the heads start by looking at recent events, the others everywhere.
        slopes = torch.tensor([0.1 * (head % 2) for head in range(config.heads)])
        self.bias = nn.Parameter(-slopes[:, None] * steps)  # (heads, length)

    def mask(self) -> Tensor:
        """Bias by distance where a query may look, `MASKED` elsewhere: (heads, length, length)."""
        bias = self.bias[:, self.distance.clamp(min=0)]
        return torch.where(self.distance >= 0, bias, torch.full_like(bias, MASKED))

    def split(self, x: Tensor) -> Tensor:
        """(B, L, d) -> (B, heads, L, d / heads)."""
        b, l, d = x.shape
        return x.view(b, l, self.heads, d // self.heads).transpose(1, 2)

    def attend(self, asking: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        """Residual (B, Q, d) after looking at `events` (B, L, d) through `mask` (.., Q, L)."""
        b, q, d = asking.shape
        normed = self.norm_attention(asking)
        seen = normed if asking is events else self.norm_attention(events)
        key, value = (self.split(part) for part in self.key_value(seen).chunk(2, dim=-1))
        scores = self.split(self.query(normed)) @ key.transpose(-1, -2)
        weights = (scores * (d // self.heads) ** -0.5 + mask).softmax(dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(b, q, d)
        after: Tensor = asking + self.drop(self.out(mixed))
        return after

    def forward(self, asking: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        x = self.attend(asking, events, mask)
        after: Tensor = x + self.drop(self.down(torch.relu(self.up(self.norm_mlp(x)))))
        return after


class Head(nn.Module):
    """A small network from a state and its features to a logit."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.d + config.n_features, config.head_width)
        self.out = nn.Linear(config.head_width, 1)
        self.drop = Dropout(config.dropout)

    def forward(self, state: Tensor, features: Tensor) -> Tensor:
        both = self.drop(torch.cat([state, features], dim=-1))
        logit: Tensor = self.out(self.drop(torch.relu(self.hidden(both)))).squeeze(-1)
        return logit


class Network(nn.Module):
    """Encoder and heads. The item table (N + 1, d) is an argument: row 0 is the unknown item."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d
        self.kind = nn.Embedding(config.n_kinds, d)
        self.gap = nn.Embedding(config.n_gaps, d)
        self.hour = nn.Embedding(config.n_hours, d)
        self.amount = nn.Linear(1, d)
        self.since = nn.Embedding(config.n_gaps, d)
        self.features = nn.Linear(config.n_features, d)
        self.no_features = nn.Parameter(torch.zeros(d))
        self.below = nn.ModuleList(Layer(config) for _ in range(config.layers - 1))
        self.last = Layer(config)
        self.norm = nn.LayerNorm(d)
        self.item = nn.Linear(d, d)
        self.churn = Head(config)
        self.risk = Head(config)
        self.drop = Dropout(config.dropout)
        self.register_buffer("feature_mean", torch.zeros(config.n_features))
        self.register_buffer("feature_scale", torch.ones(config.n_features))
        for embedding in (self.kind, self.gap, self.hour, self.since):
            nn.init.normal_(embedding.weight, std=0.02)
        nn.init.zeros_(self.features.weight)
        # Co-visited items already lie together in the table: start with the identity.
        nn.init.eye_(self.item.weight)
        nn.init.zeros_(self.item.bias)

    def standardise(self, features: Tensor) -> Tensor:
        """Features (.., F) with mean 0 and scale 1 on the training samples, bounded."""
        return ((features - self.feature_mean) * self.feature_scale).clamp(-5.0, 5.0)

    def encode(
        self,
        item_rows: Tensor,
        kinds: Tensor,
        gaps: Tensor,
        hours: Tensor,
        amounts: Tensor,
        item_table: Tensor,
    ) -> Tensor:
        """Event states (B, L, d) below the last layer, of right-padded tokens (B, L)."""
        before = torch.cat([torch.zeros_like(gaps[:, :1]), gaps[:, :-1]], dim=1)
        x: Tensor = (
            F.embedding(item_rows, item_table)
            + self.kind(kinds)
            + self.gap(before)
            + self.hour(hours)
            + self.amount(amounts.unsqueeze(-1))
        )
        x = self.drop(x)
        length = item_rows.shape[1]
        for layer in self.below:
            assert isinstance(layer, Layer)
            x = layer(x, x, layer.mask()[:, :length, :length])
        return x

    def states(self, events: Tensor, asked: Tensor) -> Tensor:
        """Answer states (B, L, d) at every position; `asked` (B, L, d) is added to the queries."""
        length = events.shape[1]
        x = self.last(events + asked, events, self.last.mask()[:, :length, :length])
        state: Tensor = self.norm(x)
        return state

    def answer(self, events: Tensor, asked: Tensor, lengths: Tensor) -> Tensor:
        """Answer state (B, d) at the newest event; `asked` (B, d) is added to the query."""
        b, length, d = events.shape
        newest = lengths - 1  # (B,)
        asking = events.gather(1, newest.view(b, 1, 1).expand(b, 1, d)) + asked.unsqueeze(1)
        mask = (
            self.last.mask().transpose(0, 1)[newest][:, :, :length].unsqueeze(2)
        )  # (B, heads, 1, L)
        state: Tensor = self.norm(self.last(asking, events, mask)).squeeze(1)
        return state

    def item_logits(self, states: Tensor, item_table: Tensor, item_bias: Tensor) -> Tensor:
        """(.., d) -> (.., N + 1) by dot product with the table."""
        return F.linear(self.item(states), item_table, item_bias)

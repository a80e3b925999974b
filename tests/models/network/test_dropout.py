"""Dropout keeps the mean, drops its share, and does nothing when the network answers."""

from __future__ import annotations

import pytest
import torch

from models.network.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_it_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(rate)(torch.ones(401, 257))  # no multiple of eight
    assert float((dropped == 0).float().mean()) == pytest.approx(rate, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    assert len(dropped.unique()) == 2


def test_a_seed_decides_the_mask() -> None:
    x = torch.ones(50)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(Dropout(0.5)(x))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_it_is_off_when_the_network_answers() -> None:
    x = torch.randn(50)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x

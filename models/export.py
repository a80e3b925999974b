"""From a trained network to an ONNX graph that answers at the newest event only."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.engine import Scores
from models.network import Network
from models.onnx_engine import OUTPUTS
from models.sequences import ModelInputs

OPSET = 23
MAX_CANDIDATES = 64
UNKNOWN_ITEM = -1e4
"""Logit of row 0: the unknown item is never recommended."""


class Served(nn.Module):
    """The network as it is served: one answer per history, the catalogue an input."""

    def __init__(self, network: Network, candidates: int) -> None:
        super().__init__()
        self.network = network
        self.candidates = candidates

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
        item_bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        net = self.network
        events = net.encode(item_rows, kinds, gaps, hours, amounts, item_table)
        known = net.standardise(features)
        since = gaps.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        state = net.answer(events, net.features(known) + net.since(since), lengths)
        queries = net.item(state)
        logits = torch.nn.functional.linear(queries, item_table, item_bias)
        scores, candidates = logits.topk(self.candidates, dim=1)
        return candidates, scores, queries, net.churn(state, known), net.risk(state, known)


def to_onnx(network: Network, item_table: npt.NDArray[np.float32]) -> bytes:
    """Serialised ONNX of the served network, fp32, dynamic in batch, length and catalogue.

    The same weights give the same bytes. Traced by TorchScript: here its graph runs as fast as
    that of torch.export, which takes thirty times as long to make it (docs/lab-notes.md).
    """
    served = Served(network, _candidates(len(item_table))).eval()
    example = _example(network, len(item_table))
    axes = {name: {0: "batch", 1: "length"} for name in _TOKENS}
    axes |= {name: {0: "batch"} for name in ("features", "lengths", *OUTPUTS)}
    axes |= {name: {0: "rows"} for name in ("item_table", "item_bias")}
    with TemporaryDirectory(prefix="hark-") as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        # It is deprecated, and it warns that Python values become constants: those that do, the
        # width and the number of heads, are constants.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
            tuple(example.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(example),
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
        )
        return path.read_bytes()


def torch_scores(
    network: Network,
    inputs: ModelInputs,
    item_table: npt.NDArray[np.float32],
    item_bias: npt.NDArray[np.float32],
) -> Scores:
    """What torch answers to the same inputs, for the parity check."""
    network.eval()
    served = Served(network, _candidates(len(item_table)))
    tensors = [torch.from_numpy(np.ascontiguousarray(getattr(inputs, n))) for n in _INPUTS]
    with torch.no_grad():
        answers = served(*tensors, torch.from_numpy(item_table), torch.from_numpy(item_bias))
    candidates, scores, *others = (answer.numpy() for answer in answers)
    real = len(item_table) - 1
    return Scores(candidates[:, :real], scores[:, :real], *others)


_TOKENS = ("item_rows", "kinds", "gaps", "hours", "amounts")
_INPUTS = (*_TOKENS, "features", "lengths")


def _candidates(n_rows: int) -> int:
    """K. Without any item the graph still names row 0, which the engine then drops."""
    return max(1, min(MAX_CANDIDATES, n_rows - 1))


def _example(network: Network, n_rows: int) -> dict[str, Tensor]:
    config, batch, length = network.config, 3, 16
    whole = {name: torch.zeros(batch, length, dtype=torch.int64) for name in _TOKENS}
    return whole | {
        "amounts": torch.ones(batch, length),
        "features": torch.ones(batch, config.n_features),
        "lengths": torch.tensor([length, 5, 1]),
        "item_table": torch.ones(n_rows, config.d),
        "item_bias": torch.zeros(n_rows),
    }

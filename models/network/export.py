"""Export a trained network as an ONNX graph that answers at the newest event only."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.engines.engine import MAX_CANDIDATES, Scores
from models.engines.onnx import OUTPUTS, QUESTIONS
from models.features.model_inputs import ModelInputs
from models.network.network import Network
from models.network.served import Served

OPSET = 23
UNKNOWN_ITEM = -1e4
"""Logit of row 0: the unknown item is never recommended."""


def to_onnx(
    network: Network,
    item_table: npt.NDArray[np.float32],
    dtype: torch.dtype = torch.float32,
) -> bytes:
    """Serialise the served network as ONNX, dynamic in batch, length and catalogue.

    The same weights give the same bytes. TorchScript traces the network: its graph runs as fast as
    that of torch.export, which takes thirty times as long to export (docs/lab-notes.md).
    """
    served = Served(network, _candidates(len(item_table)), dtype).eval()
    example = _example(network, len(item_table))
    axes = {name: {0: "batch", 1: "length"} for name in _TOKENS}
    axes |= {name: {0: QUESTIONS} for name in ("features", *OUTPUTS)}
    axes |= {"lengths": {0: "batch"}, "item_table": {0: "rows"}}
    axes |= {name: {0: "candidate_rows"} for name in ("candidate_table", "candidate_bias")}
    with TemporaryDirectory(prefix="hark-") as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        # TorchScript is deprecated, and it warns that Python values become constants: the width
        # and the number of heads, which are constants.
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
    """Score inputs with the network in torch, as it was trained, for the parity check."""
    network.eval()
    table, bias = torch.from_numpy(item_table), torch.from_numpy(item_bias)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(getattr(inputs, n))) for n in _INPUTS}
    lengths, gaps = tensors["lengths"], tensors["gaps"]
    with torch.no_grad():
        tokens = {name: tensors[name] for name in _TOKENS}
        events = network.encode(**tokens, item_table=table)
        known = network.standardise(tensors["features"])
        since = gaps.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        state = network.answer(events, network.features(known) + network.since(since), lengths)
        logits = network.item_logits(state, table, bias)
        best = logits.topk(_candidates(len(item_table)), dim=1)
        heads = network.churn(state, known), network.risk(state, known)
    real = len(item_table) - 1
    return Scores(
        best.indices.numpy()[:, :real],
        best.values.numpy()[:, :real],
        network.item(state).detach().numpy(),
        *(head.numpy() for head in heads),
    )


_TOKENS = ("item_rows", "kinds", "gaps", "hours", "amounts")
_INPUTS = (*_TOKENS, "features", "lengths")


def _candidates(n_rows: int) -> int:
    """K. Without items the graph still returns row 0, which the engine drops."""
    return max(1, min(MAX_CANDIDATES, n_rows - 1))


def _example(network: Network, n_rows: int) -> dict[str, Tensor]:
    config, batch, length = network.config, 3, 16
    whole = {name: torch.zeros(batch, length, dtype=torch.int64) for name in _TOKENS}
    return whole | {
        "amounts": torch.ones(batch, length),
        "features": torch.ones(batch, config.n_features),
        "lengths": torch.tensor([length, 5, 1]),
        "item_table": torch.ones(n_rows, config.d),
        "candidate_table": torch.ones(n_rows, config.d),
        "candidate_bias": torch.zeros(n_rows),
    }

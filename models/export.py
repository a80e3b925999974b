"""From a trained network to an ONNX graph that answers at the newest event only."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.engine import Scores
from models.network import Network
from models.onnx_engine import OUTPUTS
from models.sequences import ModelInputs

OPSET = 23
MAX_CANDIDATES = 128
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
    """Serialised ONNX of the served network, fp32, dynamic in batch and length.

    The same weights give the same bytes: traces of the exporting machine are stripped.
    """
    served = Served(network, _candidates(len(item_table))).eval()
    example = _example(network, len(item_table))
    batch, length = torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC
    shapes = {name: {0: batch, 1: length} if name in _TOKENS else {0: batch} for name in example}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            kwargs=example,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            output_names=list(OUTPUTS),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    del model.metadata_props[:]
    model.doc_string = ""
    for part in [model.graph, *model.functions]:
        part.doc_string = ""
        del part.metadata_props[:]
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in [*model.graph.initializer, *model.graph.value_info, *model.graph.input]:
        value.doc_string = ""
        del value.metadata_props[:]
    data: bytes = model.SerializeToString(deterministic=True)
    return data


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
    whole = {name: torch.ones(batch, length, dtype=torch.int64) for name in _TOKENS}
    return whole | {
        "amounts": torch.ones(batch, length),
        "features": torch.ones(batch, config.n_features),
        "lengths": torch.tensor([length, 5, 1]),
        "item_table": torch.ones(n_rows, config.d),
        "item_bias": torch.zeros(n_rows),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs about packages nobody asked for; only errors are worth a line."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

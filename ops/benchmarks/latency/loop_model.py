"""The model of the hand-written loop: a size-S transformer with made-up weights, as ONNX.

As large as Hark's size S: 64 wide, 2 layers, 64 events, feed-forward 256. Weights don't change how
long it takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, LAYERS, HEADS, INNER = 64, 2, 2, 256
EVENTS, FEATURES, KINDS, LISTED = 64, 28, 5, 10
_OPSET, _IR = 17, 9
_HIDDEN = -1e9


class Graph:
    """Nodes and weights as they are added; tensors are known by name."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(7)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape: int, scale: float | None = None) -> str:
        drawn = self._rng.normal(0, scale or shape[0] ** -0.5, shape)
        return self.constant(drawn.astype(np.float32))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        (name,) = self.split(op, 1, *inputs, **attributes)
        return name

    def split(self, op: str, n: int, *inputs: str, **attributes: Any) -> list[str]:
        names = [f"n{len(self.nodes)}.{i}" for i in range(n)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def dense(self, x: str, n_in: int, n_out: int) -> str:
        bias = self.constant(np.zeros(n_out, np.float32))
        return self.node("Add", self.node("MatMul", x, self.weight(n_in, n_out)), bias)

    def norm(self, x: str) -> str:
        ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        return self.node("LayerNormalization", x, self.constant(ones), self.constant(zeros))


def write_model(path: Path, items: int) -> None:
    """Write the model for a catalogue of `items` items.

    Inputs: `items` int64 (B, 64), 0 = no event, the newest last; `kinds` int64 (B, 64);
    `features` float32 (B, 28). Outputs: `listed` int64 and `scores` float32 (B, 10), best first;
    `risks` float32 (B, 2).
    """
    graph = Graph()
    table = graph.weight(items + 1, WIDTH, scale=0.1)
    x = graph.node("Add", graph.node("Gather", table, "items"), _embedded(graph, KINDS, "kinds"))
    x = graph.node("Add", x, graph.weight(EVENTS, WIDTH, scale=0.02))  # (B, L, D)
    mask = _mask(graph)
    for _ in range(LAYERS):
        x = graph.node("Add", x, _attention(graph, graph.norm(x), mask))
        inner = graph.node("Relu", graph.dense(graph.norm(x), WIDTH, INNER))
        x = graph.node("Add", x, graph.dense(inner, INNER, WIDTH))
    last = graph.node("Gather", x, graph.constant(np.int64(-1)), axis=1)  # (B, D)
    state = graph.norm(last)
    scores = graph.node("MatMul", state, graph.node("Transpose", table, perm=[1, 0]))
    best = graph.split("TopK", 2, scores, graph.constant(np.array([LISTED], np.int64)))
    joined = graph.node("Concat", "features", state, axis=1)
    hidden = graph.node("Relu", graph.dense(joined, FEATURES + WIDTH, 32))
    risks = graph.node("Sigmoid", graph.dense(hidden, 32, 2))
    outputs = zip((best[1], best[0], risks), ("listed", "scores", "risks"), strict=True)
    for inner_name, name in outputs:
        graph.nodes.append(helper.make_node("Identity", [inner_name], [name]))
    model = _model(graph)
    helper.set_model_props(model, {"items": str(items)})
    onnx.save(model, path)


def _embedded(graph: Graph, n: int, indices: str) -> str:
    return graph.node("Gather", graph.weight(n, WIDTH, scale=0.1), indices)


def _mask(graph: Graph) -> str:
    """What an event must not see, (B, 1, L, L): later events, and places without an event."""
    empty = graph.node("Equal", "items", graph.constant(np.int64(0)))
    hidden = graph.node(
        "Where", empty, graph.constant(np.float32(_HIDDEN)), graph.constant(np.float32(0))
    )
    axes = graph.constant(np.array([1, 2], np.int64))
    later = np.triu(np.full((EVENTS, EVENTS), _HIDDEN, np.float32), 1)
    return graph.node("Add", graph.node("Unsqueeze", hidden, axes), graph.constant(later))


def _attention(graph: Graph, x: str, mask: str) -> str:
    depth = WIDTH // HEADS
    shape = graph.constant(np.array([0, 0, HEADS, depth], np.int64))
    query, key, value = (
        graph.node("Reshape", graph.dense(x, WIDTH, WIDTH), shape) for _ in range(3)
    )
    query = graph.node("Transpose", query, perm=[0, 2, 1, 3])
    key = graph.node("Transpose", key, perm=[0, 2, 3, 1])
    value = graph.node("Transpose", value, perm=[0, 2, 1, 3])
    scale = graph.constant(np.float32(depth**-0.5))
    scores = graph.node("Mul", graph.node("MatMul", query, key), scale)  # (B, H, L, L)
    weights = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
    mixed = graph.node("Transpose", graph.node("MatMul", weights, value), perm=[0, 2, 1, 3])
    flat = graph.constant(np.array([0, 0, WIDTH], np.int64))
    return graph.dense(graph.node("Reshape", mixed, flat), WIDTH, WIDTH)


def _model(graph: Graph) -> Any:
    integer, real = TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("items", integer, ["b", EVENTS]),
        helper.make_tensor_value_info("kinds", integer, ["b", EVENTS]),
        helper.make_tensor_value_info("features", real, ["b", FEATURES]),
    ]
    outputs = [
        helper.make_tensor_value_info("listed", integer, ["b", LISTED]),
        helper.make_tensor_value_info("scores", real, ["b", LISTED]),
        helper.make_tensor_value_info("risks", real, ["b", 2]),
    ]
    made = helper.make_graph(graph.nodes, "loop", inputs, outputs, graph.weights)
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=_IR)
    onnx.checker.check_model(model)
    return model

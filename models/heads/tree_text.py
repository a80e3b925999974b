"""A strict reader of LightGBM's text format.

An index out of range or a cycle among the nodes would crash or hang a compiled loop, as it does
LightGBM's own parser, which trusts its input. So every number that the loop uses is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

import numpy as np

from models.heads.forest import DEFAULT_LEFT, NAN_IS_MISSING, Forest
from schemas.errors import ArtefactError

MAX_TREES = 10_000
MAX_LEAVES = 4_096
_FLOAT = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_REALS = re.compile(rf"{_FLOAT}(?: {_FLOAT})*")
_WHOLE = re.compile(r"-?[0-9]{1,15}(?: -?[0-9]{1,15})*")
_OBJECTIVE = re.compile(rf"binary sigmoid:{_FLOAT}")
_DECISIONS = frozenset({0, DEFAULT_LEFT, NAN_IS_MISSING, DEFAULT_LEFT | NAN_IS_MISSING})
"""Numerical splits. LightGBM knows two more, which training never makes: categories, and 0 as
missing."""
Fields = dict[str, str]
Tree = tuple[list[int], list[float], list[int], list[int], list[int], list[float], list[float]]
"""Features, thresholds, decisions, left and right children, gains, leaves."""


def read(text: str, names: Sequence[str]) -> Forest:
    """Check a model and read its trees.

    Parameters
    ----------
    text
        A model with a binary objective, numerical splits and constant leaves.
    names
        Names that its features must have, in order.

    Raises
    ------
    ArtefactError
        The text isn't such a model. The message says where it is wrong.
    """
    head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    if not text.startswith("tree\n") or "\nend of trees" not in text:
        raise ArtefactError("trees: not a LightGBM model, or it is cut off")
    fields = _fields(head)
    if fields.get("feature_names", "").split() != list(names):
        raise ArtefactError("trees: they were made for other features")
    objective = fields.get("objective", "")
    if not _OBJECTIVE.fullmatch(objective):
        raise ArtefactError(f"trees: objective {objective[:40]!r}, expected binary")
    for name, wanted in (("num_class", "1"), ("num_tree_per_iteration", "1")):
        if fields.get(name) != wanted:
            raise ArtefactError(f"trees: {name} isn't {wanted}")
    if len(blocks) > MAX_TREES:
        raise ArtefactError(f"trees: {len(blocks)}, at most {MAX_TREES}")
    trees = [_tree(number, block, len(names)) for number, block in enumerate(blocks)]
    return _forest(trees)


def _forest(trees: Sequence[Tree]) -> Forest:
    """Join the trees; a child's number counts from the tree's first node or leaf."""
    roots: list[int] = []
    children: list[tuple[int, int]] = []
    n_leaves = 0
    for *_, left, right, _, leaves in trees:
        first = len(children)
        roots.append(first if left else ~n_leaves)
        pairs = zip(left, right, strict=True)
        children += [(_child(l, first, n_leaves), _child(r, first, n_leaves)) for l, r in pairs]
        n_leaves += len(leaves)
    columns = [list(chain.from_iterable(column)) for column in zip(*trees, strict=True)] or [[]] * 7
    features, thresholds, decisions, _, _, gains, leaves = columns
    return Forest(
        np.array(roots, np.int64),
        np.array(features, np.int64),
        np.array(thresholds, np.float64),
        np.array(decisions, np.uint8),
        np.array(children, np.int64).reshape(-1, 2),
        np.array(gains, np.float32),
        np.array(leaves, np.float64),
    )


def _child(child: int, first_node: int, first_leaf: int) -> int:
    return first_node + child if child >= 0 else child - first_leaf


def _fields(block: str) -> Fields:
    pairs = (line.partition("=") for line in block.splitlines() if line)
    return {name: value for name, _, value in pairs}


def _tree(number: int, block: str, n_features: int) -> Tree:
    """Check and read a tree; its nodes are 0 .. n - 2, its leaves ~0 .. ~(n - 1)."""
    first, _, rest = block.partition("\n")
    if first != str(number):
        raise ArtefactError(f"trees: tree {number} has the number {first[:20]!r}")
    fields = _fields(rest)

    def wrong(name: str) -> ArtefactError:
        return ArtefactError(f"trees: {name} of tree {number} is missing or invalid")

    def reals(name: str, n: int) -> list[float]:
        value = fields.get(name, "")
        if not _REALS.fullmatch(value) or value.count(" ") != n - 1:
            raise wrong(name)
        numbers = [float(number) for number in value.split()]
        if any(abs(number) == float("inf") for number in numbers):
            raise wrong(name)
        return numbers

    def whole(name: str, n: int) -> list[int]:
        value = fields.get(name, "")
        if not _WHOLE.fullmatch(value) or value.count(" ") != n - 1:
            raise wrong(name)
        return [int(number) for number in value.split()]

    (leaves,) = whole("num_leaves", 1)
    if not 1 <= leaves <= MAX_LEAVES:
        raise wrong("num_leaves")
    for name in ("num_cat", "is_linear"):
        if fields.get(name, "0") != "0":
            raise wrong(name)
    if leaves == 1:
        return [], [], [], [], [], [], reals("leaf_value", 1)
    nodes = leaves - 1
    features, decisions = whole("split_feature", nodes), whole("decision_type", nodes)
    left, right = whole("left_child", nodes), whole("right_child", nodes)
    if not all(0 <= feature < n_features for feature in features):
        raise wrong("split_feature")
    if not _DECISIONS.issuperset(decisions):
        raise wrong("decision_type")
    if not _is_tree(left, right):
        raise wrong("left_child or right_child")
    thresholds, gains = reals("threshold", nodes), reals("split_gain", nodes)
    return features, thresholds, decisions, left, right, gains, reals("leaf_value", leaves)


def _is_tree(left: Sequence[int], right: Sequence[int]) -> bool:
    """Whether every leaf and every node but the root has exactly one parent, an earlier node."""
    nodes = len(left)
    earlier = all(
        child < 0 or child > at for side in (left, right) for at, child in enumerate(side)
    )
    return earlier and sorted([*left, *right]) == [*range(-nodes - 1, 0), *range(1, nodes)]

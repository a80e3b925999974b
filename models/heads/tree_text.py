"""A strict reader of LightGBM's text format, for use before LightGBM's own parser.

LightGBM's parser is native code and trusts its input: an index out of range or a cycle among the
nodes crashes or hangs the process. So this module parses the text, checks every number, and
writes a new text from checked values alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from schemas.errors import ArtefactError

MAX_TREES = 10_000
MAX_LEAVES = 4_096
_FLOAT = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_REALS = re.compile(rf"{_FLOAT}(?: {_FLOAT})*")
_WHOLE = re.compile(r"-?[0-9]{1,15}(?: -?[0-9]{1,15})*")
_OBJECTIVE = re.compile(rf"binary sigmoid:{_FLOAT}")
_PER_NODE_REALS = ("split_gain", "threshold", "internal_value", "internal_weight")
_DECISIONS = frozenset({0, 2, 8, 10})
"""Numerical splits: bit 1 tells where missing values go, bit 3 that NaN is missing."""
Fields = dict[str, str]


def rebuild(text: str, names: Sequence[str]) -> str:
    """Check a model and write the same trees as a new text.

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
    return "\n".join(
        (
            "tree",
            "version=v4",
            "num_class=1",
            "num_tree_per_iteration=1",
            "label_index=0",
            f"max_feature_idx={len(names) - 1}",
            f"objective={objective}",
            f"feature_names={' '.join(names)}",
            f"feature_infos={' '.join(['none'] * len(names))}",
            f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}",
            "",
            "".join(trees) + "end of trees",
            "",
        )
    )


def _fields(block: str) -> Fields:
    pairs = (line.partition("=") for line in block.splitlines() if line)
    return {name: value for name, _, value in pairs}


def _tree(number: int, block: str, n_features: int) -> str:
    """Check and rewrite a tree; its nodes are 0 .. n - 2, its leaves ~0 .. ~(n - 1)."""
    first, _, rest = block.partition("\n")
    if first != str(number):
        raise ArtefactError(f"trees: tree {number} has the number {first[:20]!r}")
    fields = _fields(rest)

    def wrong(name: str) -> ArtefactError:
        return ArtefactError(f"trees: {name} of tree {number} is missing or invalid")

    def reals(name: str, n: int) -> str:
        value = fields.get(name, "")
        if not _REALS.fullmatch(value) or value.count(" ") != n - 1:
            raise wrong(name)
        if any(abs(float(number)) == float("inf") for number in value.split()):
            raise wrong(name)
        return f"{name}={value}"

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
    lines = [f"Tree={number}", f"num_leaves={leaves}", "num_cat=0"]
    if leaves > 1:
        nodes = leaves - 1
        features, decisions = whole("split_feature", nodes), whole("decision_type", nodes)
        left, right = whole("left_child", nodes), whole("right_child", nodes)
        if not all(0 <= feature < n_features for feature in features):
            raise wrong("split_feature")
        if not _DECISIONS.issuperset(decisions):
            raise wrong("decision_type")
        if not _is_tree(left, right):
            raise wrong("left_child or right_child")
        lines += [f"split_feature={_join(features)}", f"decision_type={_join(decisions)}"]
        lines += [f"left_child={_join(left)}", f"right_child={_join(right)}"]
        lines += [reals(name, nodes) for name in _PER_NODE_REALS]
        lines += [f"internal_count={_join(whole('internal_count', nodes))}"]
        lines += [f"leaf_count={_join(whole('leaf_count', leaves))}", reals("leaf_weight", leaves)]
    lines += [reals("leaf_value", leaves), "is_linear=0", reals("shrinkage", 1)]
    return "\n".join(lines) + "\n\n\n"


def _is_tree(left: Sequence[int], right: Sequence[int]) -> bool:
    """Whether every leaf and every node but the root has exactly one parent, an earlier node."""
    nodes = len(left)
    earlier = all(
        child < 0 or child > at for side in (left, right) for at, child in enumerate(side)
    )
    return earlier and sorted([*left, *right]) == [*range(-nodes - 1, 0), *range(1, nodes)]


def _join(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))

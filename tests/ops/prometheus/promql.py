"""Does a PromQL expression ask for series that exist? Answered without a Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.request import urlopen

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
# Keep the series that they choose, labels and all.
CHOOSERS = {"topk", "bottomk", "limitk", "limit_ratio"}
FITS: dict[str, Callable[[str, str], bool]] = {
    "Equal": lambda pattern, value: value == pattern,
    "NotEqual": lambda pattern, value: value != pattern,
    "Re": lambda pattern, value: re.fullmatch(pattern, value) is not None,
    "NotRe": lambda pattern, value: re.fullmatch(pattern, value) is None,
}


class Exposition:
    """All series that jobs expose, with the labels and `up` that a Prometheus adds."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.series: dict[str, list[Labels]] = {}
        for job, text in texts.items():
            added = {"job": job, "instance": f"{job}:1"}
            self.series.setdefault("up", []).append(added)
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self.series.setdefault(sample.name, []).append(sample.labels | added)

    @classmethod
    def of(cls, ports: Mapping[str, int]) -> Exposition:
        """What the jobs expose now: job name -> port."""
        return cls({job: scrape(port) for job, port in ports.items()})

    def faults(self, expr: str) -> list[str]:
        """What an expression names and no series has; empty where every part finds something.

        Raises
        ------
        ValueError
            `expr` is no PromQL: its syntax, a function's name, the number or type of arguments.
        """
        faults: list[str] = []
        self._labels(promql.parse(expr), faults)
        return faults

    def _labels(self, node: Any, faults: list[str]) -> set[str]:
        """The names of the labels that the node's result can have."""
        match node:
            case promql.VectorSelector():
                return self._selected(node, faults)
            case promql.MatrixSelector():
                return self._selected(node.vector_selector, faults)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self._labels(node.expr, faults)
            case promql.AggregateExpr():
                return self._aggregated(node, faults)
            case promql.BinaryExpr():
                return self._combined(node, faults)
            case promql.Call():
                return self._called(node, faults)
            case promql.NumberLiteral() | promql.StringLiteral():
                return set()
        raise AssertionError(f"a kind of expression that this reader doesn't know: {node!r}")

    def _selected(self, node: Any, faults: list[str]) -> set[str]:
        found: Sequence[Labels] = self.series.get(node.name, ())
        if not found:
            faults.append(f"no metric {node.name}")
        faults.extend(
            f"{node.name} has no label {matcher.name}"
            for matcher in node.matchers.matchers
            if found and not any(matcher.name in labels for labels in found)
        )
        chosen = [labels for labels in found if matches(node, labels)]
        if found and not chosen:
            faults.append(f"no series of {node.name} matches {node}")
        return {name for labels in chosen for name in labels}

    def _aggregated(self, node: Any, faults: list[str]) -> set[str]:
        inner = self._labels(node.expr, faults)
        if node.modifier is None:
            return inner if str(node.op) in CHOOSERS else set()
        named = set(node.modifier.labels)
        faults.extend(f"{node.op} by {name}: no such label" for name in sorted(named - inner))
        by = node.modifier.type == promql.AggModifierType.By
        return named if by else inner - named

    def _combined(self, node: Any, faults: list[str]) -> set[str]:
        left, right = self._labels(node.lhs, faults), self._labels(node.rhs, faults)
        modifier = node.modifier
        if modifier is None:
            return left or right
        matched = set(modifier.matching.labels) if modifier.matching else set()
        grouped = set(modifier.group_labels or ())
        both = matched - (left & right)
        faults.extend(f"on or ignoring {name}: not on both sides" for name in sorted(both))
        none = grouped - (left | right)
        faults.extend(f"group_left or group_right {name}: no such label" for name in sorted(none))
        return left | grouped

    def _called(self, node: Any, faults: list[str]) -> set[str]:
        labels: set[str] = set()
        for argument in node.args:
            labels |= self._labels(argument, faults)
        if node.func.name == "histogram_quantile":
            if "le" not in labels:
                faults.append("histogram_quantile: no label le")
            labels = labels - {"le"}
        return labels


def matches(node: Any, labels: Labels) -> bool:
    """Whether a series has what the selector's matchers ask for; an absent label is empty."""
    return all(
        FITS[str(matcher.op).removeprefix("MatchOp.")](matcher.value, labels.get(matcher.name, ""))
        for matcher in node.matchers.matchers
    )


def scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text

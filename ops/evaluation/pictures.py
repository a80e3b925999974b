"""A reliability diagram: how often what was called likely happened."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.evaluation.metrics import ECE_BINS
from models.training.checkpoint import Epoch


def picture(curve: list[Epoch], name: str) -> bytes:
    """PNG with the training loss on the left axis and the validation MRR on the right one."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    right = left.twinx()
    numbers = [epoch.number for epoch in curve]
    left.plot(numbers, [epoch.train_loss for epoch in curve], "o-", color="tab:gray")
    right.plot(numbers, [epoch.mrr for epoch in curve], "o-", color="tab:blue")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss", color="tab:gray")
    right.set_ylabel("validation MRR, whole catalogue", color="tab:blue")
    left.set_title(f"{name}: {curve[-1].seconds:.0f} s of training" if curve else name)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


Answers = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]
"""Probabilities and labels, (n,) each."""


def bins(probabilities: npt.NDArray[Any], labels: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Mean probability, share of positives and size of `ECE_BINS` bins of equal mass -> (b, 3)."""
    parts = np.array_split(np.argsort(probabilities, kind="stable"), ECE_BINS)
    rows = [(probabilities[p].mean(), labels[p].mean(), len(p)) for p in parts if len(p)]
    return np.array(rows, np.float64).reshape(-1, 3)


def diagram(title: str, answers: Mapping[str, Answers], *, logarithmic: bool = False) -> bytes:
    """PNG: a line per method, the diagonal is perfect; whiskers are 95% of binomial noise.

    Parameters
    ----------
    logarithmic
        For rare events, most of whose bins would lie in one corner.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    least = 1.0
    for name, (probabilities, labels) in answers.items():
        said, seen, size = bins(probabilities, labels).T
        noise = 1.96 * np.sqrt(np.maximum(seen * (1 - seen), 1e-12) / size)
        axes.errorbar(said, seen, noise, marker="o", markersize=4, capsize=2, label=name)
        least = min(least, float(said[said > 0].min(initial=1.0)))
    axes.plot([0 if not logarithmic else least, 1], [0 if not logarithmic else least, 1],
              color="grey", linewidth=1, linestyle="--")  # fmt: skip
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set(xlabel="probability said", ylabel="share that happened", title=title)
    axes.legend()
    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png")
    return file.getvalue()

"""A training curve as a picture: loss and validation MRR by epoch."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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

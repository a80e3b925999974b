"""Training settings, chosen from the size of the data alone.

Nightly training and the evaluations share this function. docs/lab-notes.md has the experiments
behind its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.network.loss import for_catalogue
from models.training.checkpoint import Settings


@dataclass(frozen=True, slots=True)
class Recipe:
    """Shape and training of the network.

    Attributes
    ----------
    dropout
        `NetworkConfig.dropout`.
    loss
        Name of the next-item loss for the catalogue's size, for reports.
    """

    settings: Settings
    dropout: float
    loss: str


def choose(events: int, items: int, *, seed: int = 0, max_seconds: float = 1_800.0) -> Recipe:
    """Choose the recipe for a log.

    Parameters
    ----------
    events
        Number of events on known items.
    items
        Size of the catalogue.
    max_seconds
        Longest time for the training loop.
    """
    per_item = events / max(items, 1)
    dense = per_item >= 100
    return Recipe(
        Settings(
            seed=seed,
            epochs=8 if dense else 6,
            max_seconds=max_seconds,
            learning_rate=2e-3 if dense else 1e-3,
            batch_tokens=2_048 if dense else 1_024,
            patience=3,
            validation_targets=6_000,
        ),
        dropout=0.2 if dense else 0.5,
        loss=for_catalogue(items).__name__,
    )

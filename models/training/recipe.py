"""How to train, chosen from the size of the data alone.

One function, so that the nightly training, the public evaluations and an evaluation on events
never seen before all do the same. What is behind the numbers: docs/lab-notes.md.
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
        Which next-item loss the catalogue's size takes, for people.
    """

    settings: Settings
    dropout: float
    loss: str


def choose(events: int, items: int, *, seed: int = 0, max_seconds: float = 1_800.0) -> Recipe:
    """The recipe for a log.

    Parameters
    ----------
    events
        Events on known items.
    items
        Size of the catalogue.
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

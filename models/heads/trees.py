"""Gradient-boosted trees on the features: grown by LightGBM, stored as its text, asked by a kernel.

Trees depend on the order of values alone, so they take the features at the network's scale, and
both parts share one array. A few hundred small trees score 256 decision points in about 1 ms.
Only training needs LightGBM.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.features.table import NAMES
from models.heads import tree_text

ROUNDS = {"churn": 200, "risk": 250}
GROWTH = {
    "churn": {"num_leaves": 4, "feature_fraction": 0.25},
    "risk": {"num_leaves": 7, "feature_fraction": 0.5},
}
"""Small trees, churn's smaller still: its points are the same users again and again."""
MAX_ROWS = 400_000
"""Most rows to train on; of more, a random sample, which is enough for trees this small."""

RISING: dict[str, tuple[str, ...]] = {
    "churn": ("recency_s", "quiet_90d"),
    "risk": ("entity_labels_30d", "entity_unexplained", "entity_run", "user_labels"),
}
FALLING: dict[str, tuple[str, ...]] = {
    "churn": ("visits_120d",),
    "risk": ("entity_legit_since", "since_entity_fraud_s", "since_user_label_s"),
}
"""Features that may only raise, or only lower, a head's logit. Their sign is known, and little
data would sometimes get it wrong. More such features cost more than they gained."""


class Trees:
    """The trees of a head.

    Parameters
    ----------
    text
        A model in LightGBM's text format, with features named as in `NAMES`.

    Raises
    ------
    ArtefactError
        The text isn't such a model.
    """

    def __init__(self, text: str) -> None:
        self._forest = tree_text.read(text, NAMES)
        self._text = text

    @classmethod
    def fit(
        cls,
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.bool_],
        head: str,
        *,
        seed: int = 0,
        rounds: int | None = None,
        **parameters: Any,
    ) -> Self:
        """Grow trees on labelled decision points; the same input gives the same trees.

        Parameters
        ----------
        features
            float32 (n, F), at the network's scale (`model_inputs.scale`).
        labels
            bool (n,).
        head
            "churn" or "risk": decides the size of the trees and the known signs.
        rounds
            Number of trees; None takes `ROUNDS`.
        parameters
            LightGBM parameters that replace the defaults.
        """
        import lightgbm  # here: only training needs it

        if len(labels) > MAX_ROWS:
            kept = np.sort(np.random.default_rng(seed).permutation(len(labels))[:MAX_ROWS])
            features, labels = features[kept], labels[kept]
        chosen = {
            "objective": "binary",
            "learning_rate": 0.03,
            "min_data_in_leaf": 40,
            **GROWTH[head],
            "lambda_l2": 1.0,
            "monotone_constraints": [
                (name in RISING[head]) - (name in FALLING[head]) for name in NAMES
            ],
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
            **parameters,
        }
        data = lightgbm.Dataset(features, labels.astype(np.float32), feature_name=list(NAMES))
        return cls(lightgbm.train(chosen, data, rounds or ROUNDS[head]).model_to_string())

    @property
    def text(self) -> str:
        """The model in LightGBM's text format."""
        return self._text

    def logit(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Log-odds float64 (B,) of features (B, F) at the network's scale."""
        return self._forest.logit(features)

    def importance(self) -> dict[str, float]:
        """Share of the total gain by feature, the largest first."""
        gain = self._forest.gain(len(NAMES))
        order = np.argsort(-gain, kind="stable")
        whole = max(float(gain.sum()), 1e-12)
        return {NAMES[i]: float(gain[i]) / whole for i in order.tolist()}

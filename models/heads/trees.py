"""Gradient-boosted trees on the features: LightGBM, kept as text, asked on one thread.

Trees split on order alone, so they take the features at the network's scale: one array serves
both. A few hundred small trees answer 256 decision points in about 2 ms.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.features.table import NAMES
from models.heads import tree_text
from schemas.errors import ArtefactError, EngineError

ROUNDS = {"churn": 200, "risk": 250}
GROWTH = {
    "churn": {"num_leaves": 4, "feature_fraction": 0.25},
    "risk": {"num_leaves": 7, "feature_fraction": 0.5},
}
"""Small trees, churn's smaller still: its points are the same users again and again."""
MAX_ROWS = 400_000
"""Most rows to learn from; beyond it a random part, which these small trees don't miss."""

RISING: dict[str, tuple[str, ...]] = {
    "churn": ("recency_s", "quiet_90d"),
    "risk": ("entity_labels_30d", "entity_unexplained", "entity_run", "user_labels"),
}
FALLING: dict[str, tuple[str, ...]] = {
    "churn": ("visits_120d",),
    "risk": ("entity_legit_since", "since_entity_fraud_s", "since_user_label_s"),
}
"""Features that may only raise, or only lower, a head's answer: a sign that is known anyway, and
that little data would now and then get wrong. More of them cost more than they gave."""


class Trees:
    """One head's trees.

    Parameters
    ----------
    text
        A LightGBM model in its text format, features named as in `NAMES`.
    """

    def __init__(self, text: str) -> None:
        try:
            import lightgbm  # here: a version whose heads are the network's alone runs without it
        except (ImportError, OSError) as error:
            why = f"LightGBM doesn't load: {error} (on Debian: apt-get install libgomp1)"
            raise EngineError(why) from error
        try:
            self._booster: Any = lightgbm.Booster(model_str=tree_text.rebuild(text, NAMES))
        except lightgbm.basic.LightGBMError as error:
            raise ArtefactError(f"LightGBM refuses the trees: {error}") from error
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
            float32 (n, F), at the network's scale (`sequences.scale`).
        labels
            bool (n,).
        head
            "churn" or "risk": which signs are known.
        parameters
            LightGBM's, over the usual ones.
        """
        import lightgbm

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
        """Log-odds (B,) of features (B, F) at the network's scale."""
        if not len(features):
            return np.zeros(0)
        try:
            answer: npt.NDArray[np.float64] = self._booster.predict(
                features, raw_score=True, num_threads=1
            )
        except Exception as error:
            raise EngineError(f"LightGBM failed on {len(features)} rows: {error!s:.300}") from error
        return answer

    def importance(self) -> dict[str, float]:
        """Share of the whole gain by feature, the largest first."""
        gain = self._booster.feature_importance("gain")
        order = np.argsort(-gain, kind="stable")
        whole = max(float(gain.sum()), 1e-12)
        return {NAMES[i]: float(gain[i]) / whole for i in order.tolist()}

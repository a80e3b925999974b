"""Run an engine on every length of history before it answers anybody.

The first run of a shape allocates and plans; that belongs before the swap and not into the first
batch after it.
"""

from __future__ import annotations

import numpy as np

from models.engines.engine import Engine
from models.features.features import NAMES
from models.features.model_inputs import BUCKETS, ModelInputs

ROWS = (1, 16, 256)


def warm(engine: Engine) -> None:
    """Score empty decisions of every bucket's length, few and many.

    Raises
    ------
    EngineError
        The runtime fails on one of them.
    """
    for length in BUCKETS:
        for rows in ROWS:
            engine.score(_inputs(rows, length))


def _inputs(rows: int, length: int) -> ModelInputs:
    tokens = np.zeros((rows, BUCKETS[-1]), np.int64)
    return ModelInputs(
        item_rows=tokens,
        kinds=tokens,
        gaps=tokens,
        hours=tokens,
        amounts=tokens.astype(np.float32),
        features=np.zeros((rows, len(NAMES)), np.float32),
        lengths=np.full(rows, length, np.int64),
    )

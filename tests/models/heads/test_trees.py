"""Trees: they learn what is there, the same way each time, and answer row by row."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from models.evaluation import metrics
from models.features.table import NAMES
from models.heads.trees import FALLING, RISING, Trees
from schemas.errors import ArtefactError
from tests.models import world


def labelled(n: int = 3_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Two features together decide, which no line can say."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    both = (features[:, 0] > 0) & (features[:, 1] > 0)
    return features, both & (rng.random(n) < 0.9)


def test_they_find_what_two_features_say_together() -> None:
    trees = Trees.fit(*labelled(), "risk")
    features, labels = labelled(seed=1)
    assert metrics.auc(trees.logit(features), labels) > 0.9
    assert set(list(trees.importance())[:2]) == set(NAMES[:2])


def test_the_same_points_give_the_same_trees() -> None:
    assert world.trees().text == world.trees().text
    assert world.trees().text != world.trees(seed=1).text


def test_the_text_is_all_there_is() -> None:
    trees, (features, _) = world.trees(), labelled()
    assert np.array_equal(Trees(trees.text).logit(features), trees.logit(features))


def test_an_answer_depends_on_its_row_alone() -> None:
    trees, (features, _) = world.trees(), labelled()
    together = trees.logit(features)
    for rows in ([7], [2_999, 3], range(100, 357)):
        assert np.array_equal(trees.logit(features[list(rows)]), together[list(rows)])
    assert trees.logit(features[:0]).shape == (0,)


@pytest.mark.parametrize(("table", "sign"), [(RISING, 1), (FALLING, -1)])
def test_a_known_sign_is_never_turned_round(table: dict[str, tuple[str, ...]], sign: int) -> None:
    """The labels here say the contrary of what is known, and may not be believed."""
    features, _ = labelled()
    name = table["churn"][0]
    column = NAMES.index(name)
    trees = Trees.fit(features, sign * features[:, column] < 0, "churn")
    low, high = features[:50].copy(), features[:50].copy()
    low[:, column], high[:, column] = -3, 3
    assert (sign * (trees.logit(high) - trees.logit(low)) >= 0).all()
    assert {name for table in (RISING, FALLING) for head in table.values() for name in head} <= set(
        NAMES
    )


def test_trees_for_other_features_are_refused() -> None:
    with pytest.raises(ArtefactError, match="other features"):
        Trees(world.trees().text.replace("browse_1h", "browse_2h"))


def test_a_worker_loads_trees_without_the_trainers_libraries() -> None:
    code = (
        "import sys\nfrom models.heads.trees import Trees\n"
        "Trees(sys.stdin.read())\n"
        "print([name for name in ('torch', 'onnx', 'lightgbm') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=world.trees().text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"

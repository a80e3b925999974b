"""A training goes on from an earlier version, whose items it knows by id."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from models.storage import artefact
from models.training import build, train, warm_start
from models.training.corpus import Corpus
from models.training.labels import Split
from models.training.train import Fitted, Settings, Warm
from models.training.warm_start import Start, carried_over
from tests.models import world
from tests.models.training.test_train import N_ITEMS, fit, split_of

IDS = [f"item-{row}" for row in range(1, N_ITEMS + 1)]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return world.corpus()


@pytest.fixture(scope="module")
def before(corpus: Corpus) -> Fitted:
    return fit(corpus)


def start(before: Fitted, ids: list[str]) -> Start:
    return Start(
        version="0" * 12,
        config=before.network.config,
        weights=before.network.state_dict(),
        rows={item: row for row, item in enumerate(ids, start=1)},
        item_table=before.item_table,
        item_bias=before.item_bias,
        cut_s=0,
    )


def reordered(corpus: Corpus) -> tuple[Corpus, list[str]]:
    """The same log, its items numbered the other way round."""
    rows = np.where(corpus.item_rows > 0, N_ITEMS + 1 - corpus.item_rows, 0)
    turned = Corpus(
        corpus.users,
        corpus.times_s,
        rows,
        corpus.kinds,
        corpus.gaps,
        corpus.hours,
        corpus.amounts,
        corpus.points,
    )
    return turned, IDS[::-1]


def once(corpus: Corpus, split: Split, warm: Warm | None) -> Fitted:
    table = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)
    settings = Settings(epochs=1, batch_tokens=512, warm_up_steps=20, learning_rate=1e-3)
    return train.fit(corpus, split, world.config(), table, settings, warm=warm)


def test_it_knows_at_once_what_was_learnt_before(corpus: Corpus, before: Fitted) -> None:
    turned, ids = reordered(corpus)
    warm = once(turned, split_of(turned), Warm(start(before, IDS), ids))
    cold = once(turned, split_of(turned), None)
    best = max(epoch.mrr for epoch in before.curve)
    assert warm.curve[0].mrr > best - 0.05
    assert cold.curve[0].mrr < best - 0.2
    assert (warm.started_from, warm.known_items) == ("0" * 12, N_ITEMS)
    assert cold.started_from is None


def test_another_shape_starts_cold(corpus: Corpus, before: Fitted) -> None:
    table = np.random.default_rng(0).normal(0, 0.2, (N_ITEMS + 1, 16)).astype(np.float32)
    warm = Warm(start(before, IDS), IDS)
    config = world.config(layers=1)
    fitted = train.fit(corpus, split_of(corpus), config, table, Settings(epochs=1), warm=warm)
    assert fitted.started_from is None


def test_a_new_item_starts_among_its_neighbours() -> None:
    """Old and new tables differ by a rotation; so do the places of the items they don't share."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    svd = rng.normal(size=(301, 16)).astype(np.float32)
    ids = [str(row) for row in range(1, 301)]
    trained = (svd @ rotation).astype(np.float32)[:251]
    bias = np.full(251, 2.0, dtype=np.float32)
    known = Start("v", world.config(), {}, {i: int(i) for i in ids[:250]}, trained, bias, 0)
    table, new_bias, found = carried_over(known, ids, svd, np.zeros(301, dtype=np.float32))
    assert found == 250
    assert np.array_equal(table[:251], trained)
    assert np.abs(table[251:] - (svd @ rotation)[251:]).max() < 1e-4
    assert new_bias[251:] == pytest.approx(2.0)


def test_a_stored_version_is_a_start(before: Fitted, tmp_path: Path) -> None:
    files = dict.fromkeys(artefact.FILES, b"-") | {
        "items.json": artefact.to_json_bytes(IDS),
        "item_table.npy": artefact.to_npy_bytes(before.item_table),
        "item_bias.npy": artefact.to_npy_bytes(before.item_bias),
    }
    facts = {
        "feature_set_hash": "",
        "network": asdict(before.network.config),
        "cut_s": 7,
    }
    without = artefact.write(tmp_path, files, facts)
    assert warm_start.read(tmp_path / without) is None
    files[artefact.WEIGHTS] = warm_start.to_bytes(before.network)
    found = warm_start.read(tmp_path / artefact.write(tmp_path, files, facts))
    assert found is not None
    assert (found.config, found.cut_s, found.rows["item-1"]) == (before.network.config, 7, 1)
    for name, value in before.network.state_dict().items():
        assert bool((found.weights[name] == value).all())


def test_the_earlier_version_must_not_have_seen_what_validates(
    corpus: Corpus, before: Fitted
) -> None:
    late = Warm(replace(start(before, IDS), cut_s=int(corpus.times_s.max())), IDS)
    _, cut_s = build.split(corpus, horizon_s=world.DAY_S, label_delay_s=world.DAY_S)
    assert build.usable(late, cut_s) is None
    early = Warm(replace(late.start, cut_s=cut_s), IDS)
    assert build.usable(early, cut_s) is early

"""Training finds the structure that is there, the same way for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.heads.calibration import sigmoid
from models.network import export, loss
from models.ranking import covisitation
from models.training import labels, train
from models.training.corpus import Corpus
from models.training.labels import Split, split_items
from models.training.train import Fitted, Settings
from tests.models import world

N_ITEMS = 60
QUICK = Settings(epochs=8, max_seconds=60, batch_tokens=512, warm_up_steps=20, learning_rate=5e-3)


def split_of(corpus: Corpus) -> Split:
    rows, train_items, validation_items = split_items(corpus, 50 * world.DAY_S)
    times = corpus.times_s[corpus.points.event]
    churn = labels.split(times, corpus.points.churn, gap_s=0)
    risk = labels.split(times, corpus.points.risk, gap_s=0)
    return Split(rows, train_items, validation_items, *churn, *risk)


def fit(corpus: Corpus, settings: Settings = QUICK) -> Fitted:
    table = covisitation.start_table(
        corpus.item_rows, corpus.users, N_ITEMS + 1, 16, np.random.default_rng(0)
    )
    return train.fit(corpus, split_of(corpus), world.config(), table, settings)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return world.corpus()


@pytest.fixture(scope="module")
def fitted(corpus: Corpus) -> Fitted:
    return fit(corpus)


def test_it_finds_the_next_item(fitted: Fitted) -> None:
    """Four of five steps go to the next item, so the best possible is a little above 0.8."""
    assert max(epoch.mrr for epoch in fitted.curve) > 0.75


def test_both_heads_learn_their_feature(fitted: Fitted) -> None:
    points = world.corpus(seed=1).points
    inputs = replace(world.inputs(len(points.event), N_ITEMS), features=points.features)
    answer = export.torch_scores(fitted.network, inputs, fitted.item_table, fitted.item_bias)
    risk, churn = answer.risk_logit, answer.churn_logit
    assert np.corrcoef(sigmoid(risk), points.risk)[0, 1] > 0.4
    assert np.corrcoef(sigmoid(churn), points.churn)[0, 1] > 0.4
    assert abs(np.corrcoef(churn, points.features[:, 0])[0, 1]) < 0.3


def test_the_unknown_item_is_never_recommended(fitted: Fitted) -> None:
    assert fitted.item_bias[0] <= -1e4


def test_a_seed_decides_everything(corpus: Corpus) -> None:
    short = Settings(epochs=1, batch_tokens=2_048)
    one, other = fit(corpus, short), fit(corpus, short)
    assert np.array_equal(one.item_table, other.item_table)
    assert one.curve[0].mrr == other.curve[0].mrr
    third = fit(corpus, Settings(epochs=1, batch_tokens=2_048, seed=1))
    assert not np.array_equal(one.item_table, third.item_table)


def test_the_time_limit_ends_it(corpus: Corpus) -> None:
    cut = fit(corpus, Settings(epochs=1_000, max_seconds=1.0, patience=1_000))
    assert cut.cut_short
    assert len(cut.curve) < 1_000


def test_a_log_without_items_still_trains_the_heads() -> None:
    corpus = world.corpus(users=50)
    bare = Corpus(
        corpus.users,
        corpus.times_s,
        np.zeros(len(corpus), dtype=np.int64),
        corpus.kinds,
        corpus.gaps,
        corpus.hours,
        corpus.amounts,
        corpus.points,
    )
    found = train.fit(
        bare,
        split_of(bare),
        world.config(),
        np.zeros((1, 16), dtype=np.float32),
        Settings(epochs=2),
    )
    inputs = replace(world.inputs(len(bare.points.event), 0), features=bare.points.features)
    answer = export.torch_scores(found.network, inputs, found.item_table, found.item_bias)
    assert np.corrcoef(sigmoid(answer.risk_logit), bare.points.risk)[0, 1] > 0.3


def problem(n_items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(3_000, 8, generator=generator, requires_grad=True)
    table = torch.randn(n_items + 1, 8, generator=generator)
    bias = torch.randn(n_items + 1, generator=generator)
    targets = torch.randint(1, n_items + 1, (3_000,), generator=generator)
    return queries, targets, table, bias


def test_the_chunked_softmax_is_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 7_000)  # 140 rows at a time
    queries, targets, table, bias = problem(50)
    learnt = (queries, table.requires_grad_(), bias.requires_grad_())
    logits = queries @ table[1:].T + bias[1:]
    plain = torch.nn.functional.cross_entropy(logits, targets - 1, reduction="sum")
    chunked = loss.full_softmax(queries, targets, table, bias)
    assert chunked.item() == pytest.approx(plain.item(), rel=1e-5)
    wanted, given = torch.autograd.grad(plain, learnt), torch.autograd.grad(chunked, learnt)
    for one, other in zip(wanted, given, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_sampled_softmaxs_gradient_points_the_full_ones_way() -> None:
    queries, targets, table, bias = problem(9_000)
    full = torch.autograd.grad(loss.full_softmax(queries, targets, table, bias), queries)[0]
    torch.manual_seed(1)
    draws = [
        torch.autograd.grad(loss.sampled_softmax(queries, targets, table, bias), queries)[0]
        for _ in range(20)
    ]
    mean = torch.stack(draws).mean(0)
    alike = torch.nn.functional.cosine_similarity(mean.ravel(), full.ravel(), dim=0)
    assert alike > 0.98
    assert mean.norm() / full.norm() == pytest.approx(1.0, abs=0.1)

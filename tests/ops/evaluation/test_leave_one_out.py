"""Leave-one-out, from a file to the report, on a small world whose next item can be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.evaluation import metrics
from models.features import model_inputs
from ops.evaluation import leave_one_out, order_file
from ops.evaluation.order_file import Orders
from ops.evaluation.order_log import OrderLog
from ops.evaluation.report import HARK, Report, Task
from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.settings import Settings

N_USERS, N_ITEMS = 300, 80


def lines(rng: np.random.Generator) -> list[list[int]]:
    """Users who mostly go from item i to item 7 i + 1, none twice."""
    users = []
    for user in range(N_USERS):
        mine = [int(rng.integers(N_ITEMS))]
        while len(mine) < 4 + user % 20:
            follows = (7 * mine[-1] + 1) % N_ITEMS
            item = follows if rng.random() < 0.8 else int(rng.integers(N_ITEMS))
            mine.append(int(rng.choice(list(set(range(N_ITEMS)) - set(mine))))
                        if item in mine else item)  # fmt: skip
        users.append(mine)
    return users


def write(path: Path, users: list[list[int]]) -> Path:
    path.write_text("".join(f"{u} {' '.join(map(str, row))}\n" for u, row in enumerate(users)))
    return path


def run(path: Path) -> Report:
    return leave_one_out.leave_one_out("small", Task(path, None, 0), lambda share, line: None)


@pytest.fixture(scope="module")
def world() -> list[list[int]]:
    return lines(np.random.default_rng(0))


@pytest.fixture(scope="module")
def report(world: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(write(tmp_path_factory.mktemp("orders") / "small.txt", world))


def test_what_can_be_known_is_found(report: Report) -> None:
    found = {row.method: row.figures["hr_at_5"].value for row in report.results}
    assert set(found) == {
        HARK, "hark_frozen", "popularity", "covisitation", "covisitation_frozen", "network"
    }  # fmt: skip
    assert found[HARK] > 0.6
    assert found["popularity"] < 0.3


def test_the_report_has_its_parts(report: Report, tmp_path: Path) -> None:
    figures = report.results[0].figures
    assert {f"{name}_at_{k}" for name in ("hr", "ndcg", "mrr") for k in (5, 10, 20)} == set(figures)
    assert 0 < report.facts["coverage_at_10"]["popularity"] < 1
    assert report.facts["curve"][0]["number"] == 1
    assert sum("rare items" in name or "short histories" in name for name in report.slices) == 2
    assert report.pictures["small-curve.png"].startswith(b"\x89PNG")
    assert {path.name for path in report.write(tmp_path)} == {
        "small.json",
        "small.md",
        "small-curve.png",
    }


def test_the_test_items_teach_nothing(world: list[list[int]], tmp_path: Path) -> None:
    """Other test items, the same weights."""
    other = [[*row[:-1], next(i for i in range(N_ITEMS) if i not in row)] for row in world]
    everything = [
        order_file.read(write(tmp_path / f"{i}.txt", w)) for i, w in enumerate((world, other))
    ]
    fitted = [
        leave_one_out.fit(o.without_last(1), o.without_last(2), 0, lambda share, line: None)[0]
        for o in everything
    ]
    assert np.array_equal(fitted[0].item_table, fitted[1].item_table)


def test_both_shapes_are_the_same_orders(world: list[list[int]], tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{u} {item}\n" for u, row in enumerate(world) for item in row))
    one, other = order_file.read(pairs), order_file.read(write(tmp_path / "rows.txt", world))
    assert np.array_equal(one.users, other.users)
    assert np.array_equal(one.items, other.items)
    last = one.items[one.from_end() == 0]
    assert last.tolist() == [sorted({i for r in world for i in r}).index(r[-1]) + 1 for r in world]


@pytest.fixture
def log_of() -> tuple[OrderLog, Orders]:
    """Users of 70, 2 and 1 events; user numbers of two digits sort as numbers."""
    items = np.array([*(np.arange(70) * 4 % 9 + 1), 3, 4, 9])
    some = Orders(np.array([2] * 70 + [10] * 2 + [11]), items, 9)
    log = OrderLog(Settings(), 9)
    log.take_in(some)
    return log, some


def test_the_moment_is_the_workers(log_of: tuple[OrderLog, Orders]) -> None:
    """All events but the 64 newest are forgotten; everything has the gap and hour it trained on."""
    log, some = log_of
    now = log.moment()
    assert now.windows.lengths.tolist() == [64, 2, 1]
    mine = log.items.ids
    assert [int(mine[i]) for i in now.windows.items[1, :2]] == [3, 4]
    assert [int(mine[i]) for i in now.windows.items[0]] == some.items[6:70].tolist()
    table = np.zeros(len(log.items), np.int64)
    table[log.indices] = np.arange(1, 10)
    inputs = model_inputs.build(now.windows, now.features, table)
    inside = inputs.item_rows > 0
    assert (inputs.gaps[inside] == order_file.JUST_NOW).all()
    assert (inputs.hours[inside] == order_file.JUST_NOW).all()
    assert (inputs.kinds[inside] == Kind.VIEW).all()
    assert (inputs.amounts == 0).all()


def test_the_moment_counts_the_open_block_too(log_of: tuple[OrderLog, Orders]) -> None:
    log, some = log_of
    part = log.moment().part
    visits = part.visits[part.row_of[log.indices]] * part.visit_scale
    assert visits.tolist() == pytest.approx(np.bincount(some.items, minlength=10)[1:].tolist())


def test_equals_share_their_places() -> None:
    scores = np.array([[0, 3, 1, 1, 1, 0]], dtype=np.float32)
    places = leave_one_out.places(scores, np.array([3]))
    assert places.tolist() == [3]
    assert metrics.hit_rate(places, 3) == 1.0


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"1 2\nuser,item\n", "line 2 isn't numbers"), (b"\xff\xfe1\n", "line 1"), (b"\n", "no rows")],
)
def test_a_file_that_holds_no_orders_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "orders.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        order_file.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)

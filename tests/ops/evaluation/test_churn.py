"""The churn protocol: who is asked, when, and what was known by then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ops.evaluation import churn
from ops.evaluation.pictures import bins, diagram
from ops.event_files import adapters

DAY_S = 86_400
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n"


def file(folder: Path, rows: list[tuple[str, str, int, str, int]]) -> Path:
    """Invoice lines: number, item, quantity, day, customer."""
    path = folder / "shop.csv"
    lines = [f"{n},{item},thing,{q},{day} 10:00:00,2.5,{who}.0" for n, item, q, day, who in rows]
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


def test_training_ends_where_outcomes_are_known() -> None:
    cuts = churn.training_cuts(churn.LAST_CUT_S)
    assert len(cuts) == churn.TRAININGS
    assert churn.LAST_CUT_S - max(cuts) >= churn.HORIZON_DAYS * DAY_S
    assert churn.LAST_CUT_S - max(cuts) < (churn.HORIZON_DAYS + 7) * DAY_S
    assert set(np.diff(sorted(cuts)).tolist()) == {7 * DAY_S}


def test_customers_are_asked_while_active_and_churn_if_they_buy_no_more(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        [
            ("1", "a", 1, "2011-01-03", 7),  # long gone at the last cut-off
            ("2", "a", 2, "2011-08-01", 8),
            ("3", "b", 1, "2011-09-01", 9),
            ("C4", "b", -1, "2011-10-01", 9),  # a cancellation is no purchase
            ("5", "a", 1, "2011-11-01", 8),
            ("6", "a", 1, "2011-12-09", 10),
        ],
    )
    asked = churn._asked(adapters.load(path, "online-retail"), lambda share, line: None)
    last = asked.at([churn.LAST_CUT_S])
    assert last.churned.tolist() == [False, True]  # 8 comes back, 9 doesn't
    first = asked.at([churn.LAST_CUT_S - 33 * 7 * DAY_S])
    assert len(first.users) == 1
    assert first.churned.all()


def test_what_a_customer_does_later_is_not_seen(tmp_path: Path) -> None:
    rows = [("1", "a", 1, "2011-08-01", 8), ("2", "a", 1, "2011-12-09", 9)]
    later = [*rows, ("3", "a", 5, "2011-09-11", 8)]

    def found(rows: list[tuple[str, str, int, str, int]]) -> churn.Cuts:
        source = adapters.load(file(tmp_path, rows), "online-retail")
        return churn._asked(source, lambda share, line: None).at([churn.LAST_CUT_S])

    before, after = found(rows), found(later)
    assert np.array_equal(before.features, after.features)
    assert before.churned.tolist() == [True]
    assert after.churned.tolist() == [False]


def test_partitions_change_nothing_where_nothing_crosses_customers(tmp_path: Path) -> None:
    rows = [
        (f"{day}-{who}", f"i{(who * day) % 5}", 1 + who % 3, f"2011-0{1 + day}-{10 + who}", who)
        for day in range(8)
        for who in range(12)
    ]
    source = adapters.load(file(tmp_path, rows), "online-retail")
    one, four = (churn._asked(source, lambda share, line: None, n) for n in (1, 4))
    assert len(one.users) > 100
    for name in churn.Cuts.__slots__:
        assert np.array_equal(getattr(one, name), getattr(four, name)), name


def test_a_reliability_diagram_is_a_picture_of_the_bins() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(15_000)
    happened = rng.random(15_000) < said
    table = bins(said, happened)
    assert table.shape == (15, 3)
    assert table[:, 2].sum() == 15_000
    assert table[:, 1] == pytest.approx(table[:, 0], abs=0.06)
    assert diagram("t", {"a": (said, happened)}).startswith(b"\x89PNG")
    assert diagram("t", {"a": (said, happened)}, logarithmic=True) != diagram(
        "t", {"a": (said, happened)}
    )

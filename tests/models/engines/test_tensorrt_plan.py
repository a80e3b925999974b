"""A plan is reused where it was built for exactly this, and whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.engines.gpu_probe import Gpu
from models.engines.tensorrt_plan import PlanCache, plan_name, timings_name

GPU = Gpu("NVIDIA H200", "9.0", "10.15.1.29")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "not" / "yet")
    assert cache.read("a.plan") is None
    cache.write("a.plan", b"code")
    cache.write("a.plan", b"newer code")
    assert cache.read("a.plan") == b"newer code"
    assert [path.name for path in (tmp_path / "not" / "yet").iterdir()] == ["a.plan"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_plan_counts_as_absent(tmp_path: Path, damage: str) -> None:
    cache = PlanCache(tmp_path)
    cache.write("a.plan", b"code of some length")
    path = tmp_path / "a.plan"
    data = path.read_bytes()
    changed = {"cut": data[:-1], "flipped": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}
    path.write_bytes(changed[damage])
    assert cache.read("a.plan") is None


def test_another_model_catalogue_gpu_or_tensorrt_has_another_plan() -> None:
    names = {
        plan_name(b"graph", 4096, GPU),
        plan_name(b"other", 4096, GPU),
        plan_name(b"graph", 8192, GPU),
        plan_name(b"graph", 4096, replace(GPU, name="NVIDIA H100")),
        plan_name(b"graph", 4096, replace(GPU, capability="10.0")),
        plan_name(b"graph", 4096, replace(GPU, tensorrt="11.4.0.106")),
    }
    assert len(names) == 6
    assert plan_name(b"graph", 4096, GPU) in names
    assert timings_name(GPU) != timings_name(replace(GPU, tensorrt="11.4.0.106"))

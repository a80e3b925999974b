"""Fuzzing the loader of model versions: each is refused in one line, or answers right."""

from __future__ import annotations

import pickle
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np

from models.heads.stack import HEADS
from models.registry import registry
from schemas.errors import ArtefactError, EngineError
from tests.fuzz.artefact_damage import Files, damage

ITEMS = 30
HANG_S = 60.0


def prepare(folder: Path) -> None:
    """Two good versions' files, for `play`; made with torch, so not in the process that plays."""
    from tests.models.versions import version_files

    for seed in (1, 2):
        files = version_files([f"item-{seed}-{i}" for i in range(ITEMS)], seed)
        (folder / f"{seed}.files").write_bytes(pickle.dumps(files))


def play(case: int, seed: int, folder: Path) -> tuple[str, str] | None:
    """Load one damaged version -> what is wrong with how that ends, or None."""
    one, other = (pickle.loads((folder / f"{n}.files").read_bytes()) for n in (1, 2))  # noqa: S301
    rng = random.Random(f"{seed}/{case}")
    root = Path(tempfile.mkdtemp(dir=folder))
    try:
        wrong = check(rng, root, one, other)
    finally:
        shutil.rmtree(root)
    return (wrong, f"--seed {seed} --case {case}") if wrong else None


def check(rng: random.Random, root: Path, one: Files, other: Files) -> str:
    """What is wrong with how a damaged version is loaded, "" if nothing is."""
    version = damage(rng, root, one, other)
    try:
        model = registry.load(root, version)
    except (ArtefactError, EngineError) as error:
        text = str(error)
        return "" if "\n" not in text and len(text) < 800 else f"not one line: {text!r:.300}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return _answers(model)


def _answers(model: registry.Model) -> str:
    """Whether a version that was taken answers as its golden outputs say, and sanely."""
    from models.engines import golden

    inputs, wanted = golden.from_bytes((model.directory / "golden.npz").read_bytes())
    scores = model.engine.score(inputs)
    if not golden.difference(wanted, scores) <= 1e-3:
        return "taken, but not golden"
    if len(model.item_ids) + 1 != len(model.item_table):
        return "taken with another number of items"
    if scores.candidates.min() < 1 or scores.candidates.max() > len(model.item_ids):
        return "taken, but recommends what isn't there"
    for head in filter(model.ships, HEADS):
        chance = model.probability(head, scores, inputs.features)
        if not (np.isfinite(chance).all() and (chance >= 0).all() and (chance <= 1).all()):
            return f"taken, but {head} isn't a probability"
    return ""

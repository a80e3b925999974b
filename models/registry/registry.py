"""Model versions on disk: listed, pruned, and verified before they are opened."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engines.choice import EngineFactory, open_onnx
from models.engines.engine import Engine, Scores
from models.engines.golden import check_golden
from models.features.features import FEATURE_SET_HASH
from models.features.model_inputs import ModelInputs
from models.heads.stack import HEADS, Stack
from models.ranking.ranker import Ranker
from models.registry import aliases
from models.registry.aliases import CHAMPION, is_version, resolve
from models.storage import artefact, lock
from models.storage.arrays import from_npy
from schemas.errors import ArtefactError, EngineError

TRAINING_LOCK = ".training.lock"
"""Lock of a registry, held while a training writes versions."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded, verified model version.

    Attributes
    ----------
    item_ids
        Row r of the item table is `item_ids[r - 1]`; row 0 is the unknown item.
    item_table, item_bias
        float32 (N + 1, d), (N + 1,): with `Scores.queries` they score any item.
    ranker
        Orders candidates; None if this version has none, then the engine's order stands.
    heads
        By name, "churn" and "risk"; a head without labels to learn from is missing.
    """

    version: str
    directory: Path
    engine: Engine
    item_ids: list[str]
    item_table: npt.NDArray[np.float32]
    item_bias: npt.NDArray[np.float32]
    ranker: Ranker | None
    heads: dict[str, Stack]
    feature_set_hash: str
    manifest: dict[str, Any]

    def ships(self, head: str) -> bool:
        """Whether the version answers "churn" or "risk"."""
        return head in self.heads

    def what_if(
        self, head: str, inputs: ModelInputs, features: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Log-odds float64 (B, Q) before calibration if other features were known.

        Parameters
        ----------
        inputs
            B rows.
        features
            float32 (B, Q, F): Q rows of features in the place of each row of `inputs.features`.

        Raises
        ------
        ArtefactError
            The version doesn't ship the head.
        EngineError
            The engine fails.
        """
        stack, (b, q, f) = self._head(head), features.shape
        network = np.zeros((b, q), np.float32)
        if stack.mix.network:
            network = self.engine.what_if(inputs, features)[head]
        return stack.logit(network.reshape(-1), features.reshape(-1, f)).reshape(b, q)

    def probability(
        self, head: str, scores: Scores, features: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Calibrated probability float64 (B,).

        For "churn": of silence for the horizon in `manifest["labels"]`. For "risk": of a label
        event that confirms the risk.

        Parameters
        ----------
        scores, features
            The engine's results and `ModelInputs.features` of the same B decision points.

        Raises
        ------
        ArtefactError
            The version doesn't ship the head.
        """
        return self._head(head).probability(scores.logit(head), features)

    def _head(self, name: str) -> Stack:
        if name not in self.heads:
            raise ArtefactError(f"model {self.version} ships no {name} head: look at ships() first")
        return self.heads[name]


def versions(root: Path) -> list[str]:
    """Return the versions on disk, oldest first."""
    aliases.check_folder(root)
    if not root.is_dir():
        return []
    found = [path.name for path in root.iterdir() if path.is_dir() and is_version(path.name)]
    found.sort(key=lambda version: (stored_at_s(root, version), version))
    return found


def stored_at_s(root: Path, version: str) -> float:
    """Unix time in s at which a version was stored, 0 if its manifest is missing.

    It is the file's time: the manifest itself is a function of data and seed alone.
    """
    try:
        return (root / version / artefact.MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def load(root: Path, name: str = CHAMPION, *, engine: EngineFactory = open_onnx) -> Model:
    """Verify and open a version: its hashes, its feature set, then its golden outputs.

    Raises
    ------
    ArtefactError
        There is no such version, it is corrupt, was made for another feature set, or the engine
        doesn't reproduce its golden outputs.
    EngineError
        The runtime can't open or run the graph.
    """
    version = resolve(root, name)
    if version is None:
        raise ArtefactError(f"no model {name!r} in {root}; train one: hark train")
    directory = root / version
    try:
        return _open(directory, engine)
    except (ArtefactError, EngineError):
        raise
    except Exception as error:
        raise ArtefactError(
            f"model {version} is not what this code reads: {type(error).__name__}: "
            f"{' '.join(str(error).split()):.300}"
        ) from error


def prune(root: Path, keep: int) -> list[str]:
    """Delete all versions but the newest `keep` and those with an alias; return the deleted.

    Raises
    ------
    BusyError
        A training is running: the version it has just written has no alias yet.
    """
    with lock.held(root / TRAINING_LOCK, "hark models prune"), aliases.changing(root):
        artefact.sweep(root)
        named = set(aliases.named(root).values())
        found = versions(root)
        gone = [version for version in found[: len(found) - keep] if version not in named]
        for version in gone:
            artefact.remove(root, version)
        return gone


def _open(directory: Path, engine: EngineFactory) -> Model:
    version, manifest = directory.name, artefact.read_manifest(directory)
    if manifest["feature_set_hash"] != FEATURE_SET_HASH:
        raise ArtefactError(
            f"model {version} was trained on feature set {manifest['feature_set_hash'][:12]}, "
            f"this code computes {FEATURE_SET_HASH[:12]}: train again"
        )
    _check_facts(manifest)
    files = artefact.read_files(directory, manifest)
    item_table, item_bias, item_ids = _catalogue(files)
    runner = engine(files, item_table, item_bias)
    heads = _heads(files)
    check_golden(files["golden.npz"], runner, heads, version)
    weights = json.loads(files["ranker.json"])
    return Model(
        version=version,
        directory=directory,
        engine=runner,
        item_ids=item_ids,
        item_table=item_table,
        item_bias=item_bias,
        ranker=None if weights is None else Ranker.from_json(weights),
        heads=heads,
        feature_set_hash=manifest["feature_set_hash"],
        manifest=manifest,
    )


def _check_facts(manifest: dict[str, Any]) -> None:
    """Check the other entries that a worker reads: medians, and quantiles by head."""
    heads = manifest.get("heads", {})
    tables = [manifest.get("feature_medians", {})]
    if isinstance(heads, dict):
        tables += [head.get("quantiles", {}) if isinstance(head, dict) else head
                   for head in heads.values()]  # fmt: skip
    numbers = [
        value if isinstance(value, int | float) else math.nan
        for table in tables
        for value in (table.values() if isinstance(table, dict) else [math.nan])
    ]
    if not isinstance(heads, dict) or not all(map(math.isfinite, numbers)):
        raise ArtefactError(
            "manifest.json: feature_medians or the heads' quantiles aren't finite numbers"
        )


def _catalogue(
    files: dict[str, bytes],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], list[str]]:
    """Read item table (N + 1, d), bias (N + 1,) and N ids, and check that they fit together."""
    table = from_npy(files["item_table.npy"], "item_table.npy")
    bias = from_npy(files["item_bias.npy"], "item_bias.npy")
    ids = json.loads(files["items.json"])
    if not isinstance(ids, list) or not all(type(item_id) is str for item_id in ids):
        raise ArtefactError("items.json isn't a list of item ids")
    if len(set(ids)) < len(ids):
        raise ArtefactError("items.json names an item twice")
    fits = table.ndim == 2 and table.shape[1] > 0 and len(table) == len(ids) + 1
    if not fits or bias.shape != table.shape[:1]:
        raise ArtefactError(
            f"items.json ({len(ids)} items), item_table.npy {table.shape} and item_bias.npy "
            f"{bias.shape} don't fit one another"
        )
    if table.dtype != np.float32 or bias.dtype != np.float32:
        raise ArtefactError("item_table.npy and item_bias.npy must be float32")
    return table, bias, ids


def _heads(files: dict[str, bytes]) -> dict[str, Stack]:
    stored = json.loads(files["heads.json"])
    return {
        name: Stack.from_json(stored[name], files[f"trees_{name}.txt"].decode())
        for name in HEADS
        if stored[name] is not None
    }

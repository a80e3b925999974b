"""Checkpoints of a training run: one safetensors file, replaced atomically.

Weights, the best weights so far and the optimiser's moments are tensors. The file's header holds
the position as JSON and a fingerprint of settings, network and data. Generators aren't stored: the
loop's randomness is a function of seed and position. There is no pickle.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog
import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.training.corpus import Corpus
from models.training.dataset import Goals
from models.training.learner import Learner
from models.training.processes import Group
from schemas.errors import TransientError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; `NetworkConfig` says what to train.

    `max_seconds` ends training early, at any point. Without such an end, a run depends on the seed
    and the data only.
    """

    seed: int = 0
    epochs: int = 6
    max_seconds: float = 60.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    clip: float = 5.0
    batch_tokens: int = 1_024
    patience: int = 3
    validation_targets: int = 2_000
    checkpoint_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """A line of the training curve; `mrr` is measured on the validation part."""

    number: int
    seconds: float
    train_loss: float
    mrr: float


@dataclass(slots=True)
class Position:
    """Where a run is, beside its weights.

    Attributes
    ----------
    epochs
        Planned epochs: fewer than in the settings where the machine is too slow.
    step, batch
        Steps in all, and batches done of the current epoch.
    total
        Sum of the current epoch's losses.
    seconds
        Time spent, pauses excluded.
    """

    epochs: int
    step: int = 0
    batch: int = 0
    total: float = 0.0
    seconds: float = 0.0
    best_mrr: float = -math.inf
    since_best: int = 0
    cut_short: bool = False
    finished: bool = False
    curve: list[Epoch] = field(default_factory=list)


class Run(Protocol):
    """The parts of a training run that a checkpoint stores or fingerprints (`loop.Loop`)."""

    learner: Learner
    best: dict[str, Tensor]
    start: str
    optimiser: torch.optim.AdamW
    position: Position
    settings: Settings
    corpus: Corpus
    goals: Goals
    group: Group


def write(path: Path, loop: Run) -> None:
    """Store the run's state atomically."""
    tensors = {
        **_named("now", loop.learner.state_dict()),
        **_named("best", loop.best),
        **_named("moments", _moments(loop)),
    }
    header = {"fingerprint": fingerprint(loop), "position": json.dumps(asdict(loop.position))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    save_file(tensors, partial, header)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def restore(path: Path, loop: Run) -> bool:
    """Restore the run from `path`; returns False, and logs why, if that isn't possible.

    Raises
    ------
    TransientError
        The file exists and can't be read at the moment.
    """
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt", device=str(loop.group.device)) as file:
            header = file.metadata() or {}
            if header.get("fingerprint") != fingerprint(loop):
                log.info("checkpoint of another training, starting afresh", path=str(path))
                return False
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return False
    except OSError as error:  # it may hold hours of work: don't write over it
        raise TransientError(f"checkpoint {path} can't be read: {error}; run it again") from error
    except SafetensorError as error:
        log.warning("unreadable checkpoint, starting afresh", path=str(path), error=str(error))
        return False
    loop.learner.load_state_dict(_part(tensors, "now"))
    loop.best = _part(tensors, "best")
    _set_moments(loop, _part(tensors, "moments"))
    stored: dict[str, Any] = json.loads(header["position"])
    stored["curve"] = [Epoch(**epoch) for epoch in stored["curve"]]
    loop.position = Position(**stored)
    return True


def fingerprint(loop: Run) -> str:
    """Hash of settings, network, initial weights and data; equal for the same run."""
    found = xxhash.xxh3_128()
    settings = asdict(loop.settings)
    for name in ("max_seconds", "checkpoint_s"):  # they don't change the result
        settings.pop(name)
    found.update(json.dumps([settings, asdict(loop.learner.network.config), loop.start]).encode())
    corpus, goals = loop.corpus, loop.goals
    for array in (corpus.users, corpus.item_rows, corpus.kinds, corpus.gaps, corpus.points.features,
                  goals.target_rows, goals.churn, goals.risk):  # fmt: skip
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def digest(tensors: dict[str, Tensor]) -> str:
    """Hash of weights."""
    found = xxhash.xxh3_128()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _moments(loop: Run) -> dict[str, Tensor]:
    """The optimiser's state as tensors, named `<number of the parameter>/<name of the moment>`."""
    state = loop.optimiser.state_dict()["state"]
    return {f"{i}/{name}": value for i, part in state.items() for name, value in part.items()}


def _set_moments(loop: Run, moments: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, _, moment = name.partition("/")
        state.setdefault(int(number), {})[moment] = value
    whole = loop.optimiser.state_dict()
    whole["state"] = state
    loop.optimiser.load_state_dict(whole)


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.detach().contiguous() for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}

"""Checkpoints of a training run: one safetensors file, replaced atomically.

Weights, the best weights so far and the optimiser's moments are tensors; the position is JSON in
the file's header, with a fingerprint of what is trained on what. Generators aren't stored: the
loop's randomness is a function of seed and position. No pickle.
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
    """How to train; what to train is `NetworkConfig`.

    `max_seconds` ends training early whatever it has reached. A run that isn't cut short by it
    depends on the seed and the data only.
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
    """One line of the training curve; `mrr` is the validation part's."""

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
        How many it will make: fewer than asked for on a machine too slow for all in time.
    step, batch
        Steps made in all, and batches of the current epoch.
    total
        Sum of the current epoch's losses.
    seconds
        Time it took, pauses left out.
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
    """What of a training run is stored, and what it is told by (`models.training.loop.Loop`)."""

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
    """Store the run as it is now; the file appears whole or stays as it was."""
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
    """Put the run where `path` left it; False, with a line on why, if that is another run's.

    Raises
    ------
    TransientError
        The file is there and can't be read at the moment.
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
    """Hash of what is trained on what, how: two runs with the same one are the same run."""
    found = xxhash.xxh3_128()
    settings = asdict(loop.settings)
    for name in ("max_seconds", "checkpoint_s"):  # how long, not what
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
    """The optimiser's state as tensors, named `number of the parameter/what`."""
    state = loop.optimiser.state_dict()["state"]
    return {f"{i}/{name}": value for i, part in state.items() for name, value in part.items()}


def _set_moments(loop: Run, moments: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, _, what = name.partition("/")
        state.setdefault(int(number), {})[what] = value
    whole = loop.optimiser.state_dict()
    whole["state"] = state
    loop.optimiser.load_state_dict(whole)


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.detach().contiguous() for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}

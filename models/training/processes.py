"""The processes that train together: one, or as many as `torchrun` started.

`torchrun --nproc-per-node 2 --no-python hark train --offline` gives every process its place in
the environment: the first one stores and judges, the others train along. gloo joins them on CPUs,
NCCL on GPUs. A single process needs none of it and pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Group:
    """One process among those that train together.

    Attributes
    ----------
    rank, size
        Its number and how many there are.
    device
        Where its part of every batch is computed.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process writes what all of them found."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sums over all processes; `values` is overwritten."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agreed(self, answer: bool) -> bool:
        """The leader's answer to what a clock decides, the same everywhere."""
        if self.size == 1:
            return answer
        said = torch.tensor([float(answer)], device=self.device)
        distributed.broadcast(said, src=0)
        return bool(said.item())


def place() -> tuple[int, int]:
    """Number of this process and how many `torchrun` started; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that torchrun started and leave them at the end."""
    rank, size = place()
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else CPU
    if size == 1:
        yield Group(device=device)
        return
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Group(rank, size, device)
    finally:
        distributed.destroy_process_group()

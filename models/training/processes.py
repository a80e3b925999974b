"""The processes that train together: one, or as many as `torchrun` started.

`torchrun --nproc-per-node 2 --no-python hark train --offline` tells every process its rank in the
environment: rank 0 stores and judges, the others only train. gloo joins them on CPUs, NCCL on
GPUs. A single process pays nothing for it.
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
    """A process among those that train together.

    Attributes
    ----------
    rank, size
        Number of this process and number of processes.
    device
        Device that computes this process's share of every batch.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process writes the result of all of them."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum `values` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agreed(self, answer: bool) -> bool:
        """Return the leader's `answer` in every process: clocks differ between them."""
        if self.size == 1:
            return answer
        shared = torch.tensor([float(answer)], device=self.device)
        distributed.broadcast(shared, src=0)
        return bool(shared.item())


def place() -> tuple[int, int]:
    """Rank of this process and number of processes that `torchrun` started, else (0, 1)."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that `torchrun` started, and leave them at the end."""
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

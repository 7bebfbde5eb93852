"""The processes of a run: one, or several that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from musicgen_rt.model.musicgen import choose_device

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among `count`; process 0 writes files and reports."""

    index: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this one writes files."""
        return self.index == 0

    def shared(self, module: nn.Module, *, rests_in_part: bool = False) -> nn.Module:
        """The module with gradients averaged over all processes; weights become process 0's.

        `rests_in_part` says that some of its trained parameters get no gradient.
        """
        if self.count == 1:
            return module
        # Buffers never change: there is nothing to send at each step.
        return DistributedDataParallel(
            module, find_unused_parameters=rests_in_part, broadcast_buffers=False
        )

    def first_then_others(self, work: Callable[[], T]) -> T:
        """Process 0 does some work with files before the others do it too."""
        if self.count > 1 and not self.is_first:
            distributed.barrier()
        result = work()
        if self.count > 1 and self.is_first:
            distributed.barrier()
        return result

    def any_of(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all of them ask at the same step."""
        if self.count == 1:
            return flag
        total = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(total)
        return bool(total > 0)


def own_device(device: str, local_rank: str) -> torch.device:
    """The device of one process among several of a machine: of CUDA's the one of its number.

    A device that was named with its number is that one. Raises ParameterError if there is none.
    """
    place = choose_device(device)
    if place == torch.device("cuda"):
        return choose_device(f"cuda:{local_rank}")
    return place


@contextmanager
def open_processes(device: str) -> Iterator[Processes]:
    """Joins torchrun's group when WORLD_SIZE says there is one, each with a device of its own.

    Raises ParameterError for a device that is not there.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, choose_device(device))
        return
    place = own_device(device, os.environ.get("LOCAL_RANK", "0"))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, place)
    finally:
        distributed.destroy_process_group()

"""One call that makes a run repeatable, the workers of its loaders included.

Taught in chapter 2.
"""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int, *, deterministic: bool = False) -> None:
    """Seed the random numbers of Python, NumPy and PyTorch (CPU and every CUDA device).

    The same seed gives the same numbers on the same machine with the same number of threads. On
    CUDA some kernels add up in an order that varies; `deterministic=True` asks PyTorch for kernels
    that do not, which is slower, and raises where it has none. cuBLAS then also needs
    `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment before the first CUDA call. On a CPU the
    kernels of this course are deterministic without it.

    Args:
        seed: at least 0 and below 2**32, which is what NumPy takes.
        deterministic: use deterministic kernels only; stays switched on for the process.

    Raises:
        ValueError: if the seed is out of range.

    Taught in chapter 2.

    >>> seed_everything(0); first = torch.rand(1)
    >>> seed_everything(0); bool(first == torch.rand(1))
    True
    """
    _check(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that we call draw from the global generator)
    torch.manual_seed(seed)  # seeds every CUDA device too
    if deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def worker_init(worker_id: int) -> None:  # noqa: ARG001 (the signature that DataLoader calls)
    """Seed Python and NumPy in a worker process: `DataLoader(..., worker_init_fn=worker_init)`.

    PyTorch gives each worker its own torch seed, derived from the loader's generator. Python and
    NumPy are seeded from that one here, so that no two workers draw the same augmentations.

    Taught in chapter 2.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def generator(seed: int) -> torch.Generator:
    """A generator of its own for a loader, so that shuffling does not depend on the model's draws.

    Raises:
        ValueError: if the seed is out of range.

    >>> torch.randperm(3, generator=generator(1)).tolist() == \
            torch.randperm(3, generator=generator(1)).tolist()
    True
    """
    _check(seed)
    return torch.Generator().manual_seed(seed)


def _check(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is out of range; it has to be at least 0 and below 2**32")

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from clslab import seeds


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_the_same_seed_gives_the_same_numbers():
    seeds.seed_everything(3)
    first = draws()
    seeds.seed_everything(3)
    assert draws() == first
    seeds.seed_everything(4)
    assert all(new != old for new, old in zip(draws(), first, strict=True))


def test_deterministic_kernels_only_when_asked():
    before = torch.backends.cudnn.benchmark
    seeds.seed_everything(0)
    assert not torch.are_deterministic_algorithms_enabled()
    try:
        seeds.seed_everything(0, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_named(seed):
    with pytest.raises(ValueError, match=f"seed {seed} is out of range"):
        seeds.seed_everything(seed)
    with pytest.raises(ValueError, match=f"seed {seed} is out of range"):
        seeds.generator(seed)


class Draws(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(1))])  # noqa: NPY002


def test_workers_draw_different_numbers_and_the_same_ones_again():
    def batches(seed):
        loader = DataLoader(
            Draws(),
            batch_size=2,
            num_workers=2,
            worker_init_fn=seeds.worker_init,
            generator=seeds.generator(seed),
        )
        return torch.cat(list(loader))

    numbers = batches(0)
    assert all(len(set(column.tolist())) == 4 for column in numbers.T)
    assert torch.equal(numbers, batches(0))
    assert not torch.equal(numbers, batches(1))

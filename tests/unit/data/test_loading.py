import numpy as np
import pytest
import torch

from clslab.data.images import ImageDataset
from clslab.data.loading import loader
from clslab.data.transforms import photo


def numbered(n: int = 10) -> ImageDataset:
    pictures = [np.full((4, 4, 3), i, dtype=np.uint8) for i in range(n)]
    return ImageDataset(pictures, [i % 2 for i in range(n)], ["a", "b"], transform=photo("resize", size=4))


def order(batches: torch.utils.data.DataLoader) -> list[float]:
    return [round(float(value), 3) for inputs, _ in batches for value in inputs.mean((1, 2, 3))]


def test_batches_have_the_shape_of_the_house() -> None:
    batches = list(loader(numbered(), batch_size=4))
    assert [len(targets) for _, targets in batches] == [4, 4, 2]
    inputs, targets = batches[0]
    assert (inputs.shape, inputs.dtype) == ((4, 3, 4, 4), torch.float32)
    assert (targets.dtype, targets.tolist()) == (torch.int64, [0, 1, 0, 1])


def test_unshuffled_keeps_the_order() -> None:
    assert order(loader(numbered(), batch_size=3)) == sorted(order(loader(numbered(), batch_size=3)))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_seed_decides_the_order_whatever_else_was_drawn(workers: int) -> None:
    first = loader(numbered(), batch_size=3, shuffle=True, seed=1, workers=workers)
    torch.manual_seed(999)
    again = loader(numbered(), batch_size=3, shuffle=True, seed=1, workers=workers)
    other = loader(numbered(), batch_size=3, shuffle=True, seed=2, workers=workers)
    run = order(first)
    assert run == order(again)
    assert run != order(other)
    assert sorted(run) == sorted(order(other))
    assert order(first) != run, "a second epoch has an order of its own"


def test_drop_last() -> None:
    assert len(loader(numbered(), batch_size=4, drop_last=True)) == 2
    assert len(loader(numbered(), batch_size=10, drop_last=True)) == 1


def test_no_batch_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"batch_size 11 is larger than the dataset \(10 items\).*drop_last=False"):
        loader(numbered(), batch_size=11, drop_last=True)
    with pytest.raises(ValueError, match="batch_size is 0"):
        loader(numbered(), batch_size=0)
    with pytest.raises(ValueError, match="dataset is empty"):
        loader(torch.utils.data.Subset(numbered(), []), batch_size=2)

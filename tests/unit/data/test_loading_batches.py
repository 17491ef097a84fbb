import itertools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

from clslab.data.loading import BatchLoader, channel_statistics


def pictures(n: int = 10, channels: int = 3) -> torch.Tensor:
    return torch.randint(256, (n, channels, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def numbered(n: int, **arguments) -> BatchLoader:
    """Batches of pictures that are told apart by their targets."""
    arguments = {"mean": [0.0], "std": [1.0]} | arguments
    return BatchLoader(pictures(n, channels=1), torch.arange(n), **arguments)


def seen(batches) -> list[list[int]]:
    return [targets.tolist() for _, targets in batches]


def test_the_batches_are_those_of_a_data_loader_with_the_same_order() -> None:
    images, targets = pictures(), torch.arange(10)
    order = torch.randperm(10).tolist()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    view = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    plain = DataLoader(TensorDataset(view(images), targets), batch_size=4, sampler=order)
    ours = BatchLoader(images, targets, batch_size=4, mean=mean, std=std, sampler=order)
    assert len(ours) == len(plain) == 3
    for (inputs, classes), (expected, expected_classes) in zip(ours, plain, strict=True):
        assert inputs.dtype == torch.float32
        torch.testing.assert_close(inputs, expected)
        assert torch.equal(classes, expected_classes)


def test_mean_and_std_are_the_images_own() -> None:
    images = pictures(50)
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean).double(), scaled.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.tensor(std).double(), scaled.std((0, 2, 3), correction=0), rtol=1e-6, atol=0)
    batches = BatchLoader(images, torch.zeros(50), batch_size=50)
    assert (batches.mean, batches.std) == (mean, std)
    inputs, _ = next(iter(batches))
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "targets", [torch.arange(6), torch.arange(12).reshape(6, 2), torch.rand(6, 3)], ids=["classes", "levels", "soft"]
)
def test_targets_of_every_kind_follow_their_pictures(targets) -> None:
    batches = BatchLoader(pictures(6), targets, batch_size=4)
    assert torch.equal(torch.cat([part for _, part in batches]), targets)


def test_unshuffled_keeps_the_order_and_the_last_short_batch() -> None:
    assert seen(numbered(5, batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert seen(numbered(5, batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(numbered(5, batch_size=2, drop_last=True)) == 2


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, other = (numbered(20, batch_size=8, shuffle=True, seed=seed) for seed in (1, 1, 2))
    for batches in (first, again, other):
        batches.set_epoch(3)
    run = seen(first)
    torch.manual_seed(5)
    assert seen(again) == run
    assert seen(first) == run, "a second look at an epoch shows the same"
    assert seen(other) != run
    assert sorted(itertools.chain(*run)) == list(range(20))
    first.set_epoch(4)
    assert seen(first) != run


def test_without_set_epoch_each_iteration_is_the_next_epoch() -> None:
    counting, told = (numbered(20, batch_size=8, shuffle=True) for _ in range(2))
    for epoch in (1, 2, 3):
        told.set_epoch(epoch)
        assert seen(counting) == seen(told)
        assert counting.epoch == epoch


def test_an_iteration_keeps_the_epoch_in_which_it_began() -> None:
    batches = numbered(20, batch_size=8, shuffle=True)
    batches.set_epoch(1)
    expected = seen(batches)
    iterator = iter(batches)
    batches.set_epoch(2)
    assert seen(iterator) == expected


def test_iterations_can_be_nested() -> None:
    batches = numbered(4, batch_size=2)
    assert [(a, b) for a, b in itertools.product(seen(batches), seen(batches))] == [
        (first.tolist(), second.tolist()) for _, first in batches for _, second in batches
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 8, 11, 12, 13, 17])
def test_every_item_is_evaluated_once_over_the_processes(n, world_size) -> None:
    parts = [numbered(n, batch_size=2, rank=rank, world_size=world_size) for rank in range(world_size)]
    batches = [seen(part) for part in parts]
    assert [len(part) for part in parts] == [len(of_rank) for of_rank in batches]
    assert sorted(itertools.chain(*itertools.chain(*batches))) == list(range(n))
    assert all(of_batch for of_rank in batches for of_batch in of_rank), "no batch is empty"
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 5, 6, 7, 8, 11, 12, 13, 17])
@pytest.mark.parametrize("order", ["shuffle", "sampler"])
def test_processes_take_the_same_steps_in_training(n, world_size, order) -> None:
    how = {"shuffle": True} if order == "shuffle" else {"sampler": list(range(n))}
    ranks = range(world_size)
    parts = [numbered(n, batch_size=2, rank=rank, world_size=world_size, **how) for rank in ranks]
    batches = [seen(part) for part in parts]
    assert {len(part) for part in parts} == {len(of_rank) for of_rank in batches}, "every rank takes as many steps"
    together = [list(itertools.chain(*step)) for step in zip(*batches, strict=True)]
    alone = seen(numbered(n, batch_size=2 * world_size, **how))
    left = n % (2 * world_size)
    assert together == (alone[:-1] if 0 < left < world_size else alone), "one process would take the same groups"
    for step in range(len(together)):
        sizes = [len(of_rank[step]) for of_rank in batches]
        assert max(sizes) - min(sizes) <= 1


def test_drop_last_drops_the_short_group_of_all_processes() -> None:
    parts = [numbered(11, batch_size=2, rank=rank, world_size=2, drop_last=True) for rank in range(2)]
    assert [seen(part) for part in parts] == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    assert [len(part) for part in parts] == [2, 2]


def test_a_sampler_gives_the_order_and_is_told_the_epoch() -> None:
    class Sampler:
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self):
            return iter([self.epoch, 0, 0])

    batches = numbered(9, batch_size=2, sampler=Sampler())
    batches.set_epoch(7)
    assert seen(batches) == [[7, 0], [0]]
    with pytest.raises(TypeError):
        len(batches)


class Noise:
    """Adds the same random number to a whole batch; keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[torch.Tensor] = []

    def __call__(self, inputs, targets, *, generator=None):
        self.given.append(inputs)
        return inputs + torch.rand(1, generator=generator), targets


def test_a_transform_sees_bytes_and_is_repeatable_by_epoch_step_and_rank() -> None:
    noise = Noise()
    batches = numbered(8, batch_size=2, transform=noise)
    batches.set_epoch(1)
    first = [inputs.clone() for inputs, _ in batches]
    torch.rand(3)
    again = [inputs for inputs, _ in batches]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(given.dtype == torch.uint8 for given in noise.given)
    draws = {
        float(inputs.flatten()[0] * 255 - given.flatten()[0]) for inputs, given in zip(first, noise.given, strict=False)
    }
    assert len(draws) == 4, "every step draws anew"
    batches.set_epoch(2)
    assert not torch.equal(next(iter(batches))[0], first[0])
    # The same two pictures on another rank of the same step have numbers of their own.
    other = numbered(8, batch_size=2, transform=noise, rank=1, world_size=2, sampler=[2, 3, 0, 1])
    other.set_epoch(1)
    assert not torch.equal(next(iter(other))[0], first[0])


def test_a_module_with_a_generator_is_handed_one() -> None:
    class Module(nn.Module):
        def forward(self, inputs, targets, generator=None):
            assert isinstance(generator, torch.Generator)
            return inputs, targets

    assert len(list(numbered(4, batch_size=2, transform=Module()))) == 2


def test_any_other_callable_is_called_with_inputs_and_targets() -> None:
    mix = v2.CutMix(num_classes=4)
    _, targets = next(iter(numbered(4, batch_size=4, transform=mix)))
    assert targets.shape == (4, 4)


def test_floats_from_a_transform_are_normalised_on_the_scale_of_bytes() -> None:
    def halve(inputs, targets):
        return inputs.float() / 2, targets

    plain, halved = (next(iter(numbered(4, batch_size=4, transform=transform)))[0] for transform in (None, halve))
    torch.testing.assert_close(halved, plain / 2)


def test_a_transform_that_returns_its_own_tensor_keeps_it() -> None:
    kept = torch.ones(4, 1, 4, 4)
    batches = numbered(4, batch_size=4, transform=lambda inputs, targets: (kept, targets))
    list(batches)
    assert torch.equal(kept, torch.ones(4, 1, 4, 4))


def test_the_images_are_never_changed() -> None:
    images = pictures(4)
    before = images.clone()

    def clear(inputs, targets):
        return inputs.zero_(), targets

    list(BatchLoader(images, torch.arange(4), batch_size=2, transform=clear))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(4, 3, 2, 2)}, r"images are torch.float32 \(4, 3, 2, 2\); give uint8"),
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, r"\(4, 2, 2\); give uint8 pictures \[N, C, H, W\]"),
        ({"images": torch.zeros(0, 3, 2, 2, dtype=torch.uint8)}, "no images.*check the split"),
        ({"targets": torch.zeros(3)}, "4 images but 3 targets"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2 processes"),
        ({"rank": -1}, "rank -1 of 1 processes"),
        ({"world_size": 0}, "rank 0 of 0 processes"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"mean": [0.5]}, "mean has 1 values and the images have 3 channels"),
        ({"std": [1.0, 0.0, 1.0]}, "channel 1 cannot be divided by 0"),
        ({"sampler": [0], "shuffle": True}, "leave one of them out"),
        ({"drop_last": True, "batch_size": 5}, "more than the 4 items.*drop_last=False"),
        ({"shuffle": True, "world_size": 5}, "4 items for 5 processes"),
    ],
)
def test_wrong_settings_are_refused(change, message) -> None:
    right = {"images": pictures(4), "targets": torch.arange(4), "batch_size": 2}
    with pytest.raises(ValueError, match=message):
        BatchLoader(**right | change)


def test_a_constant_channel_needs_a_std() -> None:
    with pytest.raises(ValueError, match="all its pixels are the same"):
        BatchLoader(torch.full((2, 1, 2, 2), 7, dtype=torch.uint8), torch.arange(2), batch_size=2)


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch -1 is negative"):
        numbered(4, batch_size=2).set_epoch(-1)

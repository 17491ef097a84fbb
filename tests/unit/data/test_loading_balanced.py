import itertools

import numpy as np
import pytest
import torch

from clslab.data.loading import BalancedSampler, BatchLoader

LONG_TAIL = np.repeat([0, 1, 2, 3], [60, 25, 12, 3])


def drawn(sampler: BalancedSampler, epoch: int) -> np.ndarray:
    sampler.set_epoch(epoch)
    return np.array(list(sampler))


def test_every_class_comes_equally_often_and_an_epoch_keeps_its_length():
    order = drawn(BalancedSampler(LONG_TAIL), 1)
    assert len(order) == len(BalancedSampler(LONG_TAIL)) == 100
    assert np.bincount(LONG_TAIL[order]).tolist() == [25, 25, 25, 25]


def test_what_does_not_divide_evenly_goes_to_other_classes_in_other_epochs():
    targets = np.repeat([0, 1, 2], [5, 3, 2])  # ten draws for three classes
    counts = [np.bincount(targets[drawn(BalancedSampler(targets), epoch)]) for epoch in range(20)]
    assert all(sorted(one.tolist()) == [3, 3, 4] for one in counts)
    assert len({int(one.argmax()) for one in counts}) == 3


def test_a_class_deals_out_all_its_items_before_one_comes_again():
    order = drawn(BalancedSampler(LONG_TAIL), 3)
    for label in range(4):
        times = np.bincount(order, minlength=100)[label == LONG_TAIL]
        assert times.max() - times.min() <= 1


def test_the_order_is_mixed_and_depends_on_seed_and_epoch_alone():
    first = drawn(BalancedSampler(LONG_TAIL), 1)
    assert np.array_equal(first, drawn(BalancedSampler(LONG_TAIL), 1))
    assert not np.array_equal(first, drawn(BalancedSampler(LONG_TAIL), 2))
    assert not np.array_equal(first, drawn(BalancedSampler(LONG_TAIL, seed=1), 1))
    halves = [np.bincount(LONG_TAIL[half], minlength=4) for half in (first[:50], first[50:])]
    assert min(min(half) for half in halves) > 5  # no class is left to the end


def test_more_classes_than_draws_would_give_some_none_and_labels_may_have_gaps():
    assert sorted(drawn(BalancedSampler([7, 3]), 1)) == [0, 1]
    sparse = [9] * 5 + [4]
    assert np.bincount(np.array(sparse)[drawn(BalancedSampler(sparse), 1)], minlength=10)[[4, 9]].tolist() == [3, 3]


def test_a_batch_loader_takes_it_and_announces_the_epoch():
    images = torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1)
    sampler = BalancedSampler(LONG_TAIL)
    batches = BatchLoader(images, torch.from_numpy(LONG_TAIL), batch_size=40, mean=[0], std=[1], sampler=sampler)
    batches.set_epoch(5)
    found = np.concatenate([targets.numpy() for _, targets in batches])
    assert np.array_equal(found, LONG_TAIL[drawn(BalancedSampler(LONG_TAIL), 5)])
    assert len(batches) == 3


def test_without_an_announcement_every_iteration_is_another_epoch_of_the_sampler():
    images = torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1)
    numbers = torch.arange(100)  # the items themselves, to see which are drawn
    batches = BatchLoader(images, numbers, batch_size=40, mean=[0], std=[1], sampler=BalancedSampler(LONG_TAIL))
    for epoch in (1, 2):
        found = np.concatenate([items.numpy() for _, items in batches])
        assert np.array_equal(found, drawn(BalancedSampler(LONG_TAIL), epoch))


@pytest.mark.parametrize(
    ("targets", "words"),
    [([], "no items"), ([[0, 1]], "one class per item"), ([0.5, 1.0], "whole numbers")],
)
def test_targets_that_are_no_classes_are_refused(targets, words):
    with pytest.raises(ValueError, match=words):
        BalancedSampler(np.array(targets, dtype=int) if len(targets) == 0 else targets)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed {seed} is out of range"):
        BalancedSampler([0, 1], seed=seed)


def test_all_processes_draw_the_same_order_and_share_it():
    images, targets = torch.zeros(100, 1, 1, 1, dtype=torch.uint8), torch.arange(100)
    parts = []
    for rank in range(2):
        sampler = BalancedSampler(LONG_TAIL)
        batches = BatchLoader(
            images, targets, batch_size=10, mean=[0], std=[1], sampler=sampler, rank=rank, world_size=2
        )
        batches.set_epoch(1)
        parts.append([found.tolist() for _, found in batches])
    whole = list(itertools.chain.from_iterable(a + b for a, b in zip(*parts, strict=True)))
    assert whole == drawn(BalancedSampler(LONG_TAIL), 1).tolist()

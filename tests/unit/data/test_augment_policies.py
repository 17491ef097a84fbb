"""Policies against torchvision: the same pixels for the same draws, and the same distribution of draws."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2

from clslab.data import augment
from clslab.data.augment.policies import (
    AUG_MIX_SPACE,
    AUTO_AUGMENT_SPACE,
    RAND_AUGMENT_SPACE,
    TRIVIAL_AUGMENT_SPACE,
    Chains,
    Operation,
    Step,
    operate,
)

FILL = (130.0, 124.0, 113.0)
IDENTITY = ("Identity", 0.0)


def pictures(size: int, height: int = 32, width: int = 32) -> Tensor:
    numbers = torch.Generator().manual_seed(1)
    noise = torch.randint(-60, 60, (size, 3, height, width), generator=numbers)
    level = torch.randint(0, 256, (size, 3, 1, 1), generator=numbers)
    return (torch.arange(width) * 2 + level + noise).clamp(0, 255).to(torch.uint8)


def recorded(transform: Any, log: list[Operation], *, carry_out: bool = True) -> Any:
    """A torchvision policy that also writes down every operation and magnitude that it draws."""
    original: Callable[..., Tensor] = transform._apply_image_or_video_transform

    def write_down(image: Tensor, name: str, magnitude: float, **settings: Any) -> Tensor:
        log.append((name, magnitude))
        return original(image, name, magnitude, **settings) if carry_out else image

    transform._apply_image_or_video_transform = write_down
    return transform


SPACES = {
    "AutoAugment": (AUTO_AUGMENT_SPACE, v2.AutoAugment._AUGMENTATION_SPACE, 10),
    "RandAugment": (RAND_AUGMENT_SPACE, v2.RandAugment._AUGMENTATION_SPACE, 31),
    "TrivialAugment": (TRIVIAL_AUGMENT_SPACE, v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
    "AugMix": (AUG_MIX_SPACE, v2.AugMix._AUGMENTATION_SPACE, 10),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("size", [(32, 32), (33, 20), (224, 96)])
def test_every_space_has_torchvisions_operations_and_magnitudes(name: str, size: tuple[int, int]) -> None:
    ours, theirs, bins = SPACES[name]
    assert set(ours) == set(theirs)
    for operation, (magnitudes, signed) in theirs.items():
        assert ours[operation].signed is signed
        values = magnitudes(bins, *size)
        expected = [0.0] * bins if values is None else values.float().tolist()
        assert ours[operation].values(bins, *size) == expected, operation


def test_autoaugment_has_the_published_policy() -> None:
    expected = [
        tuple((name, probability, 0 if strength is None else strength) for name, probability, strength in pair)
        for pair in v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)._policies
    ]
    assert list(augment.policies.AUTO_AUGMENT_POLICIES["cifar10"]) == expected


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(("size", "fill"), [((32, 32), None), ((32, 32), FILL), ((21, 30), FILL)])
@pytest.mark.parametrize("bilinear", [False, True])
def test_every_operation_at_every_strength_equals_torchvision(
    name: str, size: tuple[int, int], fill: Any, bilinear: bool
) -> None:
    space, _, bins = SPACES[name]
    step: Step = []
    for operation, strengths in space.items():
        for magnitude in strengths.values(bins, *size):
            step += [(operation, magnitude)] + ([(operation, -magnitude)] if strengths.signed else [])
    images = pictures(len(step), *size)
    ours = operate(images, step, bilinear=bilinear, fill=fill)
    mode = v2.InterpolationMode.BILINEAR if bilinear else v2.InterpolationMode.NEAREST
    reference = v2.AutoAugment(interpolation=mode, fill=list(fill) if fill else None)
    for image, (operation, magnitude), result in zip(images, step, ours, strict=True):
        expected = reference._apply_image_or_video_transform(image, operation, magnitude, mode, reference._fill)
        assert torch.equal(result, expected), (operation, magnitude)


POLICIES: dict[str, tuple[Any, Callable[[], Any], int]] = {
    "AutoAugment": (augment.AutoAugment(), lambda: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10), 2),
    "RandAugment": (augment.RandAugment(2, 14), lambda: v2.RandAugment(2, 14), 2),
    "TrivialAugment": (augment.TrivialAugment(), v2.TrivialAugmentWide, 1),
}


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_draws_give_the_same_pixels(name: str) -> None:
    ours, make, depth = POLICIES[name]
    torch.manual_seed(3)
    images = pictures(150)
    steps: list[Step] = [[] for _ in range(depth)]
    expected = []
    for image in images:
        log: list[Operation] = []
        expected.append(recorded(make(), log)(image))
        for place in range(depth):
            steps[place].append(log[place] if place < len(log) else IDENTITY)
    assert torch.equal(ours.apply(images, steps), torch.stack(expected))


@pytest.mark.parametrize("name", POLICIES)
def test_draws_are_distributed_as_torchvisions(name: str) -> None:
    ours, make, depth = POLICIES[name]
    draws = 3000
    torch.manual_seed(4)
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    theirs: Counter[Any] = Counter()
    for _ in range(draws):
        log: list[Operation] = []
        recorded(make(), log, carry_out=False)(image)
        theirs[done(log)] += 1
    steps = ours.draw((4 * draws, 3, 32, 32), torch.Generator().manual_seed(5))
    assert len(steps) == depth
    mine = Counter(done(list(chain)) for chain in zip(*steps, strict=True))
    assert same_distribution(mine, theirs) > 0.001


def test_both_directions_are_as_likely_and_so_are_all_operations() -> None:
    shape, numbers = (20_000, 3, 32, 32), torch.Generator().manual_seed(5)
    drawn = {
        "AutoAugment": augment.AutoAugment().draw(shape, numbers),
        "RandAugment": augment.RandAugment().draw(shape, numbers),
        "TrivialAugment": augment.TrivialAugment().draw(shape, numbers),
        "AugMix": [step for chain in augment.AugMix(depth=1).draw(shape, numbers).steps for step in chain],
    }
    for policy, steps in drawn.items():
        space = SPACES[policy][0]
        for step in steps:
            sides = [magnitude < 0 for name, magnitude in step if name in space and space[name].signed and magnitude]
            assert stats.binomtest(sum(sides), len(sides)).pvalue > 0.001, policy
            if policy != "AutoAugment":  # its pairs are uniform, its operations are not
                names = Counter(name for name, _ in step)
                assert stats.chisquare([names[name] for name in space]).pvalue > 0.001, policy


def done(chain: list[Operation]) -> tuple[Operation, ...]:
    """What one picture got: names, and for a signed operation its direction with its strength."""
    return tuple((name, round(magnitude, 3) + 0.0) for name, magnitude in chain if name != "Identity")


def same_distribution(first: Counter[Any], second: Counter[Any]) -> float:
    """p-value of one distribution behind both, with all rare outcomes taken as one."""
    common = [key for key, count in (first + second).items() if count >= 15]
    assert len(common) > 20
    table = [[counter[key] for key in common] for counter in (first, second)]
    for row, counter in zip(table, (first, second), strict=True):
        row.append(counter.total() - sum(row))
    columns = [column for column in zip(*table, strict=True) if sum(column)]
    return float(stats.chi2_contingency(list(zip(*columns, strict=True))).pvalue)


class TestAugMix:
    def test_the_same_draws_give_the_same_pixels(self) -> None:
        torch.manual_seed(3)
        images = pictures(60)
        steps: list[list[Step]] = [[[] for _ in range(2)] for _ in range(3)]
        weights, kept, expected = [], [], []
        for image in images:
            log: list[Operation] = []
            mixtures: list[Tensor] = []
            theirs = recorded(v2.AugMix(chain_depth=2, alpha=0.7), log)
            original = theirs._sample_dirichlet
            theirs._sample_dirichlet = lambda one, log=mixtures, draw=original: log.append(draw(one)) or log[-1]
            expected.append(theirs(image))
            for place, operation in enumerate(log):
                steps[place // 2][place % 2].append(operation)
            own, parts = mixtures
            kept.append(own[0, 0])
            weights.append(parts[0] * own[0, 1])
        drawn = Chains(steps, torch.stack(weights), torch.stack(kept))
        assert torch.equal(augment.AugMix(depth=2).apply(images, drawn), torch.stack(expected))

    def test_operations_are_distributed_as_torchvisions(self) -> None:
        torch.manual_seed(4)
        image = torch.zeros(3, 32, 32, dtype=torch.uint8)
        log: list[Operation] = []
        theirs = recorded(v2.AugMix(severity=4), log, carry_out=False)
        for _ in range(800):
            theirs(image)
        drawn = augment.AugMix(severity=4).draw((3000, 3, 32, 32), torch.Generator().manual_seed(5))
        mine = [operation for chain in drawn.steps for step in chain for operation in step]
        counts = [Counter(key for one in draws for key in done([one])) for draws in (mine, log)]
        assert same_distribution(*counts) > 0.001
        assert abs(len(log) / 800 - 6) < 0.3  # three chains of two on average

    def test_chains_have_one_to_three_operations_and_all_lengths_are_as_likely(self) -> None:
        drawn = augment.AugMix().draw((3000, 3, 32, 32), torch.Generator().manual_seed(5))
        assert len(drawn.steps) == 3
        for chain in drawn.steps:
            lengths = [sum(one != IDENTITY for one in operations) for operations in zip(*chain, strict=True)]
            counts = Counter(lengths)
            assert set(counts) == {1, 2, 3}
            assert stats.chisquare(list(counts.values())).pvalue > 0.001

    def test_weights_are_dirichlets(self) -> None:
        drawn = augment.AugMix(chains=4, alpha=2.0).draw((4000, 3, 32, 32), torch.Generator().manual_seed(5))
        assert torch.allclose(drawn.weights.sum(1) + drawn.kept, torch.ones(4000))
        assert stats.kstest(drawn.kept.numpy(), stats.beta(2, 2).cdf).pvalue > 0.001
        parts = drawn.weights / (1 - drawn.kept)[:, None]
        for part in parts.unbind(1):  # a share of four has the Beta distribution with 2 and 3 · 2
            assert stats.kstest(part.numpy(), stats.beta(2, 6).cdf).pvalue > 0.001


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="no operation 'Blur'; use one of AutoContrast, Brightness,"):
        operate(pictures(1), [("Blur", 1.0)])

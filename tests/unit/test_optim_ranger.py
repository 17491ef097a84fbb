"""Ranger against torch's RAdam, timm's Lookahead and the formula of centralisation."""

import copy
import io
import itertools

import pytest
import torch
from timm.optim import Lookahead
from torch import nn

from clslab.optim import Ranger


@pytest.fixture
def gradients():
    """Of fifteen steps, for a matrix [4, 3] and a bias [4]: long enough for RAdam to start rectifying."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(4, 3, generator=generator).double(), torch.randn(4, generator=generator).double())
        for _ in range(15)
    ]


def weights():
    generator = torch.Generator().manual_seed(2)
    return [nn.Parameter(torch.randn(*shape, generator=generator).double()) for shape in ((4, 3), (4,))]


def path(own, optimizer, gradients):
    """The weights after each step."""
    found = []
    for step in gradients:
        for weight, gradient in zip(own, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        found.append([weight.detach().clone() for weight in own])
    return found


def assert_equal_paths(first, second):
    for one, other in zip(first, second, strict=True):
        for pair in zip(one, other, strict=True):
            assert torch.allclose(*pair, rtol=1e-12, atol=1e-12)


RADAM = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.1}


def test_without_its_other_parts_it_is_torchs_radam(gradients):
    own, reference = weights(), weights()
    ours = path(own, Ranger(own, **RADAM, k=1, alpha=1.0, centralize=False), gradients)
    radam = torch.optim.RAdam(reference, **RADAM, decoupled_weight_decay=True)
    assert_equal_paths(ours, path(reference, radam, gradients))


def test_with_its_slow_weights_it_is_timms_lookahead_around_radam(gradients):
    own, reference = weights(), weights()
    ours = path(own, Ranger(own, **RADAM, k=4, alpha=0.3, centralize=False), gradients)
    start = [weight.detach().clone() for weight in reference]
    radam = torch.optim.RAdam(reference, **RADAM, decoupled_weight_decay=True)
    theirs = path(reference, ahead := Lookahead(radam, alpha=0.3, k=4), gradients[:1])
    # timm takes the fast weights of step k for the first slow ones, the paper those of the start.
    for weight, slow in zip(reference, start, strict=True):
        radam.state[weight]["lookahead_slow_buff"] = slow
    theirs += path(reference, ahead, gradients[1:])
    assert_equal_paths(ours, theirs)


def test_centralised_gradients_have_mean_zero_for_each_output(gradients):
    own, reference = weights(), weights()
    ours = path(own, Ranger(own, lr=0.01), gradients)
    by_hand = [(matrix - matrix.mean(dim=1, keepdim=True), bias) for matrix, bias in gradients]
    assert_equal_paths(ours, path(reference, Ranger(reference, lr=0.01, centralize=False), by_hand))
    filters = nn.Parameter(torch.zeros(2, 3, 2, 2))
    optimizer = Ranger([filters], lr=0.1)
    filters.grad = torch.arange(24.0).reshape(2, 3, 2, 2)
    optimizer.step()
    assert filters.sum(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert filters.abs().max() > 0.1


def test_it_never_climbs_from_the_first_step_on():
    """As a well-known version does for its first five steps."""
    place = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = Ranger([place], lr=0.05)
    sizes = [place.norm().item()]
    for _ in range(40):
        optimizer.zero_grad()
        (place**2).sum().backward()
        optimizer.step()
        sizes.append(place.norm().item())
    assert sizes[1] < sizes[0]
    # Where the slow weights take over, they go back part of the way; never beyond where they were.
    slow = sizes[::6]
    assert slow == sorted(slow, reverse=True)
    assert all(after < before for step, (before, after) in enumerate(itertools.pairwise(sizes), 1) if step % 6)


def test_slow_weights_move_by_their_share():
    place = nn.Parameter(torch.tensor([1.0]))
    optimizer = Ranger([place], lr=0.1, betas=(0.0, 0.999), k=2, alpha=0.25)
    for _ in range(2):
        place.grad = torch.tensor([1.0])
        optimizer.step()
    assert place.item() == pytest.approx(1 - 0.25 * 0.2)  # two steps of 0.1, a quarter of the way
    assert optimizer.state_dict()["state"][0]["slow"].item() == place.item()


def test_a_saved_state_goes_on_bit_by_bit(gradients):
    straight = weights()
    optimizer = Ranger(straight, lr=0.01, weight_decay=0.1)
    path(straight, optimizer, gradients[:8])  # in the middle between two moves of the slow weights
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    resumed = copy.deepcopy(straight)
    path(straight, optimizer, gradients[8:])
    optimizer = Ranger(resumed, lr=0.01, weight_decay=0.1)
    saved.seek(0)
    optimizer.load_state_dict(torch.load(saved, weights_only=True))
    path(resumed, optimizer, gradients[8:])
    assert all(torch.equal(*pair) for pair in zip(straight, resumed, strict=True))


def test_a_closure_and_parameters_without_gradients():
    used, unused = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([1.0]))
    optimizer = Ranger([used, unused], lr=0.1, weight_decay=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (used**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert (used.item() < 1, unused.item()) == (True, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, r"lr = -1\.0"),
        ({"eps": float("inf")}, "eps = inf"),
        ({"weight_decay": -0.1}, r"weight_decay = -0\.1"),
        ({"betas": (0.9, 1.0)}, r"betas = \(0\.9, 1\.0\)"),
        ({"k": 0}, "k = 0"),
        ({"alpha": 1.5}, r"alpha = 1\.5"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ranger(weights(), **arguments)


def test_a_sparse_gradient_is_refused():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match=r"shape \(5, 2\) is sparse"):
        Ranger(table.parameters()).step()

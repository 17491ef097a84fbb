"""SAM against closed forms, an independent version of it, and what must never happen to the weights."""

import copy
import io

import pytest
import pytorch_optimizer
import torch
from torch import nn

from clslab.optim import SAM, Ranger, frozen_statistics, repeatable_draws

SGD = torch.optim.SGD


class Net(nn.Module):
    def __init__(self, *, dropout=0.0, norm=True):
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.norm = nn.BatchNorm1d(7) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(7, 3)

    def forward(self, inputs):
        return self.head(self.dropout(self.norm(self.first(inputs)).relu()))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 5, generator=generator), torch.arange(16) % 3


def net(**options):
    torch.manual_seed(0)
    return Net(**options)


def closure_of(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(before, model):
    return all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def quadratic(matrix, weight, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = weight @ matrix @ weight / 2
        loss.backward()
        return loss

    return closure


# ----------------------------------------------------------------------------------- the two steps


@pytest.mark.parametrize("adaptive", [False, True])
def test_on_a_quadratic_it_is_the_formula(adaptive):
    matrix = torch.diag(torch.tensor([1.0, 4.0, 0.5], dtype=torch.float64))
    matrix[0, 1] = matrix[1, 0] = 0.3
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64))
    rho, eta, lr = 0.3, 0.01, 0.1
    optimizer = SAM([weight], SGD, rho=rho, adaptive=adaptive, eta=eta, lr=lr)
    for _ in range(5):
        before = weight.detach().clone()
        gradient = matrix @ before
        size = before.abs() + eta if adaptive else torch.ones(3, dtype=torch.float64)
        climb = rho * size**2 * gradient / (size * gradient).norm()
        optimizer.step(quadratic(matrix, weight, optimizer))
        expected = before - lr * matrix @ (before + climb)
        assert torch.allclose(weight, expected, rtol=1e-12, atol=1e-14)


def test_the_radius_is_the_length_of_the_climb(batch):
    model = net()
    optimizer = SAM(model.parameters(), SGD, rho=0.4, lr=0.1)
    closure_of(model, optimizer, batch)()
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer.first_step()
    moved = [weight.detach() - old for weight, old in zip(model.parameters(), before, strict=True)]
    assert torch.cat([each.flatten() for each in moved]).norm().item() == pytest.approx(0.4, rel=1e-5)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    ("base", "arguments"),
    [(SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}), (torch.optim.AdamW, {"lr": 0.01})],
)
def test_it_is_the_one_of_pytorch_optimizer(base, arguments, adaptive, batch):
    ours, theirs = net(norm=False), net(norm=False)
    one = SAM(ours.parameters(), base, rho=0.2, adaptive=adaptive, eta=0.0, **arguments)
    other = pytorch_optimizer.SAM(theirs.parameters(), base, rho=0.2, adaptive=adaptive, **arguments)
    for _ in range(6):
        one.step(closure_of(ours, one, batch))
        closure = closure_of(theirs, other, batch)
        closure()
        other.step(closure)
    for own, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(own, reference, atol=1e-6)
    plain = net(norm=False)  # and the climb was no small thing
    assert not torch.allclose(ours.head.weight, plain.head.weight, atol=1e-2)


def test_without_a_radius_it_is_the_base_optimizer(batch):
    ours, theirs = net(dropout=0.5), net(dropout=0.5)
    one = SAM(ours.parameters(), SGD, rho=0.0, model=ours, lr=0.1, momentum=0.9)
    other = SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for model, optimizer in ((ours, one), (theirs, other)):
        torch.manual_seed(1)
        for _ in range(4):
            optimizer.step(closure_of(model, optimizer, batch))
    assert same(snapshot(theirs), ours)


def test_three_ways_of_writing_a_step_are_one(batch):
    ends = []
    for way in range(3):
        model = net()
        optimizer = SAM(model.parameters(), SGD, rho=0.3, model=model, lr=0.1, momentum=0.9)
        closure = closure_of(model, optimizer, batch)
        for _ in range(3):
            if way == 0:
                optimizer.step(closure)
                continue
            closure()
            if way == 1:
                with optimizer.uphill(), frozen_statistics(model):
                    closure()
                optimizer.step()
            else:
                optimizer.first_step()
                with frozen_statistics(model):
                    nn.functional.cross_entropy(
                        model(batch[0]), batch[1]
                    ).backward()  # first_step cleared the gradients
                optimizer.second_step()
        ends.append(snapshot(model))
    assert same(ends[0], model)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_loss_is_that_of_the_first_pass_and_the_closure_runs_twice(batch):
    model, seen = net(), []
    optimizer = SAM(model.parameters(), SGD, rho=0.5, lr=0.1)
    closure = closure_of(model, optimizer, batch)

    def counted():
        seen.append(closure())
        return seen[-1]

    loss = optimizer.step(counted)
    assert len(seen) == 2
    assert loss is seen[0]
    assert seen[1] > seen[0]  # uphill


# --------------------------------------------------------------------------- what has to be the same


def test_the_weights_come_back_bit_by_bit(batch):
    model = net()
    with torch.no_grad():  # of very different sizes, so that adding and subtracting would not give the same number
        for weight in model.parameters():
            weight.mul_(10 ** torch.linspace(-6, 6, weight.numel()).reshape(weight.shape))
    before = snapshot(model)
    optimizer = SAM(model.parameters(), SGD, rho=0.7, model=model, lr=0.1)
    closure_of(model, optimizer, batch)()
    with optimizer.uphill():
        assert not torch.equal(before["head.weight"], model.head.weight)
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_an_error_in_the_second_pass_leaves_the_weights_where_they_were(batch):
    model = net()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = SAM(model.parameters(), SGD, rho=0.5, lr=0.1)
    closure, calls = closure_of(model, optimizer, batch), []

    def stumbles():
        calls.append(closure())
        if len(calls) == 2:
            raise KeyboardInterrupt
        return calls[-1]

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(stumbles)
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_counts_one_pass_of_a_step(momentum, batch):
    model = net()
    model.norm.momentum = momentum
    optimizer = SAM(model.parameters(), SGD, rho=0.5, model=model, lr=0.1)
    by_hand = copy.deepcopy(model)
    by_hand(batch[0])
    optimizer.step(closure_of(model, optimizer, batch))
    assert model.norm.num_batches_tracked == 1
    assert torch.equal(model.norm.running_mean, by_hand.norm.running_mean)
    assert torch.equal(model.norm.running_var, by_hand.norm.running_var)


def spectral_norm_far_from_its_end():
    """A layer whose power iteration, of a ratio near 1, cannot have come to rest within a few passes."""
    linear = nn.Linear(6, 6)
    with torch.no_grad():
        linear.weight.copy_(torch.diag(torch.linspace(0.9, 1.0, 6)))
    return nn.utils.parametrizations.spectral_norm(linear)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.BatchNorm1d(4),
        lambda: nn.BatchNorm1d(4, momentum=None),
        lambda: nn.InstanceNorm1d(4, track_running_stats=True),
        spectral_norm_far_from_its_end,
    ],
    ids=["batch norm", "cumulative batch norm", "instance norm", "spectral norm"],
)
def test_frozen_statistics_of_every_layer_that_counts(build):
    torch.manual_seed(0)
    layer = build()
    inputs = torch.randn(8, 4, 6)
    layer(inputs)
    before = snapshot(layer)
    with frozen_statistics(layer):
        layer(inputs * 3)
        assert not same(before, layer)  # it does count
    assert same(before, layer)
    with pytest.raises(RuntimeError, match="size mismatch"), frozen_statistics(layer):  # noqa: PT012 (counts, then stumbles)
        layer(inputs * float("inf"))
        layer(inputs) @ torch.zeros(3)
    assert same(before, layer)


def test_what_is_in_eval_mode_is_left_alone(batch):
    model = net()
    model.norm.eval()
    with frozen_statistics(model):
        model.norm.running_mean.fill_(5.0)  # someone else's business
    assert model.norm.running_mean.tolist() == [5.0] * 7


def test_both_passes_leave_out_the_same_units(batch):
    model, seen = net(dropout=0.5, norm=False), []
    model.dropout.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0] != 0) & (output == 0)))
    optimizer = SAM(model.parameters(), SGD, rho=1e-6, lr=0.1)
    for _ in range(2):
        optimizer.step(closure_of(model, optimizer, batch))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])
    assert not torch.equal(seen[0], seen[2])  # but another step draws anew


def test_repeatable_draws_also_after_an_error():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with pytest.raises(RuntimeError, match="size"), repeatable_draws("cpu"):
        torch.rand(7) @ torch.rand(6)
    assert torch.equal(torch.rand(1), expected)


# ------------------------------------------------------------------------------- gradients gone bad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("bad_pass", [0, 1])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_gradient_that_is_not_finite_skips_the_step(value, bad_pass, adaptive, batch):
    model = net()
    optimizer = SAM(
        model.parameters(), SGD, rho=0.1, adaptive=adaptive, model=model, lr=0.1, momentum=0.9, weight_decay=0.1
    )
    closure, calls = closure_of(model, optimizer, batch), []
    optimizer.step(closure)

    def spoilt():
        loss = closure()
        if len(calls) == bad_pass:
            model.head.weight.grad[0, 0] = value
        calls.append(all(torch.isfinite(weight).all() for weight in model.parameters()))
        return loss

    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    momenta = [state["momentum_buffer"].clone() for state in optimizer.state.values()]
    optimizer.step(spoilt)
    assert calls == [True, True]  # the second pass ran at weights that are numbers
    assert all(torch.equal(weights[name], weight) for name, weight in model.named_parameters())
    kept = [state["momentum_buffer"] for state in optimizer.state.values()]
    assert all(torch.equal(*pair) for pair in zip(momenta, kept, strict=True))
    optimizer.step(closure)  # and it goes on
    assert not torch.equal(weights["head.weight"], model.head.weight)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


@pytest.mark.parametrize("adaptive", [False, True])
def test_zero_gradients_climb_nowhere(adaptive):
    weight = nn.Parameter(torch.tensor([1.0, 0.0]))
    optimizer = SAM([weight], SGD, rho=0.1, adaptive=adaptive, lr=0.1, weight_decay=0.5)
    optimizer.step(quadratic(torch.zeros(2, 2), weight, optimizer))
    assert weight.tolist() == pytest.approx([0.95, 0.0])  # weight decay is the base optimizer's, and is done


def test_tiny_gradients_do_not_throw_the_weights_away():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = SAM([weight], SGD, rho=0.1, lr=0.1)
    optimizer.step(quadratic(torch.eye(2) * 1e-42, weight, optimizer))
    assert weight.tolist() == [1.0, 2.0]


def test_parameters_without_a_gradient_stay(batch):
    model = net()
    model.first.requires_grad_(False)
    before = snapshot(model.first)
    optimizer = SAM(model.parameters(), SGD, rho=0.5, lr=0.1, weight_decay=0.1)
    optimizer.step(closure_of(model, optimizer, batch))
    assert same(before, model.first)


def test_a_sparse_gradient_is_refused():
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = SAM(table.parameters(), SGD, lr=0.1)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match=r"shape \(5, 2\) is sparse.*sparse=False"):
        optimizer.first_step()


# ------------------------------------------------------------------------------ the gradient scaler


def scaled_step(model, optimizer, scaler, batch, *, clip=None):
    optimizer.zero_grad()
    scaler.scale(nn.functional.cross_entropy(model(batch[0]), batch[1])).backward()
    with optimizer.uphill(), frozen_statistics(model):
        scaler.scale(nn.functional.cross_entropy(model(batch[0]), batch[1])).backward()
    if clip is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("clip", [None, 0.1])
def test_a_scaler_changes_nothing(clip, batch):
    """Its factor is a power of two, so the weights are the same to the last bit."""
    ends = []
    for enabled in (False, True):
        model = net()
        optimizer = SAM(model.parameters(), SGD, rho=0.2, lr=0.1, momentum=0.9)
        scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=2.0**12)
        for _ in range(3):
            scaled_step(model, optimizer, scaler, batch, clip=clip)
        ends.append(snapshot(model))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("bad_pass", [0, 1])
def test_a_scaler_learns_of_an_overflow_in_either_pass(bad_pass, batch):
    model, passes = net(), []
    optimizer = SAM(model.parameters(), SGD, rho=0.2, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)

    def overflow(gradient):
        passes.append(len(passes))
        return gradient * float("inf") if passes[-1] == bad_pass else gradient

    model.head.bias.register_hook(overflow)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    scaled_step(model, optimizer, scaler, batch)
    assert scaler.get_scale() == 2.0**11
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())
    scaled_step(model, optimizer, scaler, batch)
    assert not torch.equal(before["head.weight"], model.head.weight)


# ------------------------------------------------------------------- groups, schedulers, saved states


def test_a_scheduler_changes_the_rate_of_the_base_optimizer(batch):
    model = net()
    optimizer = SAM(model.parameters(), SGD, lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    for expected in (1.0, 0.1, 0.01):
        assert optimizer.base_optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step(closure_of(model, optimizer, batch))
        scheduler.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    scheduler.step()
    assert optimizer.base_optimizer.param_groups[0]["lr"] == pytest.approx(0.0001)


def test_single_calls_count_as_steps_for_a_scheduler(batch):
    model = net()
    optimizer = SAM(model.parameters(), SGD, lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    closure_of(model, optimizer, batch)()
    optimizer.first_step()
    closure_of(model, optimizer, batch)()
    optimizer.second_step()
    scheduler.step()  # would warn, and so fail, if it had seen no step
    assert optimizer.base_optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_each_group_has_its_own_radius():
    places = [nn.Parameter(torch.tensor([3.0])), nn.Parameter(torch.tensor([4.0])), nn.Parameter(torch.tensor([1.0]))]
    optimizer = SAM([{"params": [places[0]], "rho": 1.0}, {"params": [places[1]]}], SGD, rho=0.5, lr=0.1)
    optimizer.add_param_group({"params": [places[2]], "rho": 0.0, "lr": 0.2})
    assert [group["rho"] for group in optimizer.param_groups] == [1.0, 0.5, 0.0]
    assert [group["lr"] for group in optimizer.base_optimizer.param_groups] == [0.1, 0.1, 0.2]
    sum((place**2 / 2).sum() for place in places).backward()
    optimizer.first_step()
    norm = 26**0.5
    assert [place.item() for place in places] == pytest.approx([3 + 3 / norm, 4 + 0.5 * 4 / norm, 1.0])


@pytest.mark.parametrize(
    ("base", "arguments"),
    [(SGD, {"lr": 0.1, "momentum": 0.9}), (torch.optim.Adam, {"lr": 0.01}), (Ranger, {"lr": 0.01})],
)
def test_its_state_is_that_of_the_base_optimizer_and_goes_on(base, arguments, batch):
    def start():
        model = net()
        return model, SAM(model.parameters(), base, rho=0.2, model=model, **arguments)

    straight, optimizer = start()
    for _ in range(3):
        optimizer.step(closure_of(straight, optimizer, batch))
    saved = io.BytesIO()
    torch.save({"model": straight.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    assert len(optimizer.state_dict()["state"]) == len(list(straight.parameters()))
    assert optimizer.state_dict()["param_groups"][0]["rho"] == 0.2
    for _ in range(3):
        optimizer.step(closure_of(straight, optimizer, batch))

    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    resumed, optimizer = start()
    resumed.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for _ in range(3):
        optimizer.step(closure_of(resumed, optimizer, batch))
    assert same(snapshot(straight), resumed)


def test_it_takes_over_from_a_plain_run(batch):
    model = net()
    plain = SGD(model.parameters(), lr=0.1, momentum=0.9)
    plain.step(closure_of(model, plain, batch))
    optimizer = SAM(model.parameters(), SGD, rho=0.3, lr=0.1, momentum=0.9)
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.param_groups[0]["rho"] == 0.3
    optimizer.step(closure_of(model, optimizer, batch))


def test_no_state_is_saved_half_way_up(batch):
    model = net()
    optimizer = SAM(model.parameters(), SGD, lr=0.1)
    closure_of(model, optimizer, batch)()
    with optimizer.uphill(), pytest.raises(ValueError, match="the weights have climbed; save the state after"):
        optimizer.state_dict()
    assert optimizer.state_dict()["param_groups"][0]["lr"] == 0.1


def test_a_copy_of_model_and_optimizer_goes_the_same_way(batch):
    model = net()
    optimizer = SAM(model.parameters(), torch.optim.Adam, rho=0.1, model=model, lr=0.01)
    optimizer.step(closure_of(model, optimizer, batch))
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    assert twin_optimizer.model is twin
    for each, own in ((model, optimizer), (twin, twin_optimizer)):
        for _ in range(2):
            own.step(closure_of(each, own, batch))
    assert same(snapshot(model), twin)


# --------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rho": -0.1}, r"rho = -0\.1: it has to be at least 0"),
        ({"rho": float("nan")}, "rho = nan"),
        ({"eta": -1.0}, r"eta = -1\.0"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SAM(net().parameters(), SGD, lr=0.1, **arguments)


def test_calls_in_the_wrong_order_are_refused(batch):
    model = net()
    with pytest.raises(ValueError, match="base_optimizer is SGD object; give the class"):
        SAM(model.parameters(), SGD(model.parameters(), lr=0.1))
    optimizer = SAM(model.parameters(), SGD, lr=0.1)
    with pytest.raises(ValueError, match="SAM needs two passes: give step a closure"):
        optimizer.step()
    closure_of(model, optimizer, batch)()
    optimizer.first_step()
    with pytest.raises(ValueError, match="climbed already; call second_step"):
        optimizer.first_step()

"""The range test: what it measures, what it leaves alone, where it stops, and what is read off its curve."""

import copy
import itertools
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from clslab import distributed, optim, seeds
from clslab.checkpoint import random_state
from clslab.data import shards
from clslab.data.loading import BatchLoader
from clslab.device import Machine
from clslab.lr_finder import RULES, LRCurve, NoSuggestion, Spread, range_test, range_tests, smooth
from clslab.recipe import Recipe

CPU = Machine("cpu", threads=1)
QUICK = {"start": 1e-4, "end": 10.0, "steps": 30, "machine": CPU}


class Net(nn.Module):
    """Batch norm, dropout, a buffer that is not saved, and a plain attribute: all that training changes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(16, 3)
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.calls = 0

    def forward(self, inputs):
        self.calls += 1
        self.seen += len(inputs)
        return self.head(self.dropout(self.norm(self.first(inputs)).relu()))


def items(count=96):
    generator = torch.Generator().manual_seed(5)
    targets = torch.arange(count) % 3
    inputs = torch.randn(count, 6, generator=generator)
    inputs[:, 0] += 2 * targets
    return TensorDataset(inputs, targets)


def make(seed=0, momentum=0.9, lr=0.1):
    """A model that was trained for two steps, with gradients and momenta left over; its optimizer, loss and loader."""
    seeds.seed_everything(seed)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    loader = DataLoader(items(), batch_size=16, shuffle=True, generator=seeds.generator(seed))
    criterion = nn.CrossEntropyLoss()
    for inputs, targets in itertools.islice(DataLoader(items(), batch_size=32), 2):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
    return model, optimizer, criterion, loader


def state(model, optimizer, loader):
    """Everything that a test could leave changed, as plain values."""
    found = {f"weight {name}": value.detach().clone() for name, value in model.named_parameters()}
    found |= {f"gradient {name}": None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    found |= {f"buffer {name}": value.clone() for name, value in model.named_buffers()}
    found |= {f"mode {name}": module.training for name, module in model.named_modules()}
    found["calls"] = model.calls
    found["optimizer"] = copy.deepcopy(optimizer.state_dict())
    found["attributes"] = sorted(vars(optimizer))
    found["called"] = getattr(optimizer, "_opt_called", None)
    found["random"] = random_state()
    if isinstance(loader, DataLoader):
        found["order"] = loader.generator.get_state()
    if isinstance(loader, BatchLoader):
        found["epoch"] = loader.epoch
    return found


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first == second


def changed(before, after):
    return [name for name in before if not same(before[name], after[name])]


# ------------------------------------------------------------------------------------------ left alone


class Broken(nn.Module):
    """A loss that fails, or becomes what is asked for, at one of its calls."""

    def __init__(self, at, becomes=None):
        super().__init__()
        self.at, self.becomes, self.count = at, becomes, 0

    def forward(self, outputs, targets):
        self.count += 1
        if self.count == self.at:
            if self.becomes is None:
                raise ZeroDivisionError("in the loss")
            return outputs.sum() * self.becomes
        return nn.functional.cross_entropy(outputs, targets)


@pytest.mark.parametrize("mode", [True, False])
def test_everything_is_left_as_it_was(mode):
    model, optimizer, criterion, loader = make()
    model.train(mode)
    model.norm.eval()
    grads = [weight.grad for weight in model.parameters()]
    before = state(model, optimizer, loader)
    curve = range_test(model, optimizer, criterion, loader, **QUICK)
    assert curve.losses[-1] != curve.losses[0]
    assert changed(before, state(model, optimizer, loader)) == []
    assert all(weight.grad is grad for weight, grad in zip(model.parameters(), grads, strict=True))


def test_everything_is_left_as_it_was_by_an_error_too():
    model, optimizer, _, loader = make()
    before = state(model, optimizer, loader)
    criterion = Broken(at=7)
    with pytest.raises(ZeroDivisionError, match="in the loss"):
        range_test(model, optimizer, criterion, loader, **QUICK)
    assert changed(before, state(model, optimizer, loader)) == []
    assert criterion.count == 0


def test_everything_is_left_as_it_was_by_a_loader_that_draws_everywhere():
    class Drawing:
        def __iter__(self):
            for inputs, targets in DataLoader(items(), batch_size=16, shuffle=True):
                noise = random.random() + np.random.random()  # noqa: NPY002
                yield inputs + noise * torch.rand(()), targets

    model, optimizer, criterion, _ = make()
    before = state(model, optimizer, None)
    range_test(model, optimizer, criterion, Drawing(), **QUICK)
    assert changed(before, state(model, optimizer, None)) == []


def test_a_loader_of_whole_batches_goes_on_in_its_own_order():
    images = torch.arange(40, dtype=torch.uint8).reshape(40, 1, 1, 1).expand(40, 1, 2, 3)
    loader = BatchLoader(images, torch.arange(40) % 3, batch_size=8, mean=[0], std=[1], shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = [targets.tolist() for _, targets in copy.copy(loader)]
    range_test(model, optimizer, nn.CrossEntropyLoss(), loader, **QUICK)
    assert loader.epoch == 0
    assert [targets.tolist() for _, targets in loader] == expected


def test_training_after_the_test_is_training_without_it():
    def trained(tested):
        model, optimizer, criterion, loader = make()
        if tested:
            range_test(model, optimizer, criterion, loader, **QUICK)
        for inputs, targets in loader:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
        return state(model, optimizer, loader)

    assert changed(trained(False), trained(True)) == []


def test_an_attached_scheduler_rests():
    model, optimizer, criterion, loader = make()
    without = range_test(model, optimizer, criterion, loader, **QUICK)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.5)
    before, schedule = state(model, optimizer, loader), dict(scheduler.state_dict())
    found = range_test(model, optimizer, criterion, loader, **QUICK)
    assert np.array_equal(found.losses, without.losses)
    assert changed(before, state(model, optimizer, loader)) == []
    assert scheduler.state_dict() == schedule
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.05


# ------------------------------------------------------------------------------------------- measured


def test_the_losses_of_torch_lr_finder(monkeypatch):
    from torch_lr_finder import lr_finder as library

    monkeypatch.setattr(library, "tqdm", lambda steps: steps)
    model, optimizer, criterion, loader = make(momentum=0.0)
    model.dropout.p = 0.0
    curve = range_test(model, optimizer, criterion, loader, **QUICK)
    model, optimizer, criterion, loader = make(momentum=0.0)
    model.dropout.p = 0.0
    finder = library.LRFinder(model, optimizer, criterion)
    finder.range_test(loader, start_lr=1e-4, end_lr=10, num_iter=30, smooth_f=0, diverge_th=1e9)
    assert curve.stopped == "end"
    assert curve.lrs == pytest.approx(finder.history["lr"])
    assert curve.losses == pytest.approx(finder.history["loss"])


def test_rates_rise_by_one_factor_from_start_to_end():
    curve = range_test(*make(), **QUICK)
    assert curve.lrs == pytest.approx(np.geomspace(1e-4, 10, 30))


def test_every_group_gets_the_rate():
    model, _, criterion, loader = make()
    parts = [{"params": model.first.parameters(), "lr": 1.0}, {"params": model.head.parameters(), "lr": 0.001}]
    apart = torch.optim.SGD(parts, lr=0.1)
    together = torch.optim.SGD([*model.first.parameters(), *model.head.parameters()], lr=0.1)
    curves = [range_test(model, each, criterion, loader, **QUICK) for each in (apart, together)]
    assert np.array_equal(curves[0].losses, curves[1].losses)
    assert [group["lr"] for group in apart.param_groups] == [1.0, 0.001]


def test_the_base_optimizer_of_sam_is_tested():
    class TwoPasses(torch.optim.Optimizer):
        """As much of SAM as the test may see."""

        def __init__(self, base):
            super().__init__(base.param_groups, {})
            self.base_optimizer = base

        def step(self, closure=None):
            raise AssertionError("SAM's own step needs a closure")

    model, base, criterion, loader = make()
    expected = range_test(model, base, criterion, loader, **QUICK)
    found = range_test(model, TwoPasses(base), criterion, loader, **QUICK)
    assert np.array_equal(found.losses, expected.losses)


@pytest.mark.parametrize("name", optim.NAMES)
def test_every_optimizer_is_tested_on_a_copy(name):
    model, _, criterion, loader = make()
    optimizer = optim.create(Recipe(optimizer=name, lr=1e-3), model)
    before = copy.deepcopy(model.state_dict())
    curve = range_test(model, optimizer, criterion, loader, **(QUICK | {"end": 1e-2}))
    assert len(curve.losses) == QUICK["steps"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}


def test_a_copied_lookahead_moves_the_copied_weights():
    model = nn.Linear(3, 2)
    optimizer = optim.create(Recipe(optimizer="lookahead-adamw", lr=0.1), model)
    copied, of_copy = copy.deepcopy((model, optimizer))
    weights = [model.weight.clone(), copied.weight.clone()]
    for _ in range(7):  # over a step of the slow weights
        of_copy.zero_grad()
        copied(torch.ones(4, 3)).square().mean().backward()
        of_copy.step()
    assert torch.equal(model.weight, weights[0])
    assert not torch.equal(copied.weight, weights[1])
    assert of_copy.param_groups is of_copy._base_optimizer.param_groups


def test_a_loader_of_shards_goes_on_in_its_own_order(tmp_path):
    for number in range(8):
        (tmp_path / "set" / f"class {number % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number * 20, 0, 0)).save(tmp_path / "set" / f"class {number % 2}" / f"{number}.png")
    shards.write(tmp_path / "set", tmp_path / "packed")
    tested, untested = (shards.open(tmp_path / "packed", batch_size=4, shuffle_buffer=8) for _ in range(2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    range_test(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), tested, **QUICK)
    assert [inputs.tolist() for inputs, _ in tested] == [inputs.tolist() for inputs, _ in untested]


@pytest.mark.parametrize("kind", ["loader", "list", "batches with meta", "generator that is long enough"])
def test_any_iterable_of_batches_will_do(kind):
    model, optimizer, criterion, _ = make()
    model.dropout.p = 0.0  # a DataLoader draws from the generator that dropout draws from
    batches = [tuple(batch) for batch in DataLoader(items(), batch_size=16)]
    loaders = {
        "loader": DataLoader(items(), batch_size=16),
        "list": batches,
        "batches with meta": [(*batch, {"name": "x"}) for batch in batches],
        "generator that is long enough": (batch for _ in range(5) for batch in batches),
    }
    curve = range_test(model, optimizer, criterion, loaders[kind], **QUICK)
    expected = range_test(model, optimizer, criterion, batches, **QUICK)
    assert np.array_equal(curve.losses, expected.losses)
    assert len(curve.losses) > 25 > len(batches)


def test_half_precision():
    model, optimizer, criterion, loader = make()
    full = range_test(model, optimizer, criterion, loader, **QUICK)
    half = range_test(model, optimizer, criterion, loader, **QUICK | {"machine": CPU.replace(precision="bf16")})
    assert half.losses[:15] == pytest.approx(full.losses[:15], rel=0.05)
    assert not np.array_equal(half.losses, full.losses)


def test_nothing_is_printed_and_nothing_is_loaded_before_it_is_needed():
    program = """
import sys
import warnings
warnings.simplefilter("error")
from clslab import lr_finder
heavy = ("torch_lr_finder", "matplotlib.pyplot", "tqdm.autonotebook")
assert not [name for name in heavy if name in sys.modules], "loaded by the import"
import torch
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batches = [(torch.randn(8, 2), torch.zeros(8, dtype=torch.int64))]
curve = lr_finder.range_test(model, optimizer, torch.nn.CrossEntropyLoss(), batches, steps=12)
from torch_lr_finder import lr_finder as library
assert library.tqdm.__name__ != "<lambda>" and "print" not in vars(library)
assert len(curve.lrs) == 12
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -------------------------------------------------------------------------------------------- stopped


def steep_parabola():
    """1 + w² by gradient descent: it shrinks below a rate of 1 and grows above."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, optimizer, lambda outputs, _: 1 + outputs.square().mean(), [(torch.ones(4, 1), torch.zeros(4))]


def test_it_stops_where_the_loss_grows():
    curve = range_test(*steep_parabola(), start=1e-3, end=1e4, steps=100, machine=CPU)
    assert curve.stopped == "diverged"
    assert 1 < curve.lrs[-1] < 100
    assert len(curve.lrs) == len(curve.losses) < 100
    later = range_test(*steep_parabola(), start=1e-3, end=1e4, steps=100, divergence=1e12, machine=CPU)
    assert later.lrs[-1] > curve.lrs[-1]


def test_a_loss_near_zero_that_trembles_has_not_diverged():
    losses = iter([4.0] * 5 + [0.001] * 5 + [0.01, 0.02, 0.01] * 10)
    model, optimizer, _, loader = make()
    curve = range_test(model, optimizer, lambda outputs, _: 0 * outputs.sum() + next(losses), loader, **QUICK)
    assert curve.stopped == "end"


def test_a_loss_below_zero_may_go_on_falling():
    model, optimizer, _, loader = make()
    falling = itertools.count(1, -0.3)
    curve = range_test(model, optimizer, lambda outputs, _: 0 * outputs.sum() + next(falling), loader, **QUICK)
    assert curve.stopped == "end"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_it_stops_at_a_loss_that_is_not_finite(value):
    model, optimizer, _, loader = make()
    curve = range_test(model, optimizer, Broken(at=21, becomes=value), loader, **QUICK)
    assert (curve.stopped, len(curve.lrs)) == ("not finite", 20)
    assert np.isfinite(curve.losses).all()
    for rule in RULES:
        try:
            assert curve.suggest(rule) <= curve.lrs[-1] / 2
        except NoSuggestion:
            continue


def test_no_suggestion_beside_the_break():
    """A loss that falls up to the last finite one: its minimum and its steepest place are where it broke."""
    lrs = np.geomspace(1e-4, 1, 40)
    losses = 4 - np.linspace(0, 1.5, 40) ** 3
    for stopped in ("diverged", "not finite"):
        curve = LRCurve(lrs, losses, stopped=stopped, smoothing=0.0)
        assert {rule: curve.suggest(rule) <= 0.5 for rule in RULES} == dict.fromkeys(RULES, True)
    whole = LRCurve(lrs, losses, smoothing=0.0)
    for rule in ("minimum", "minimum/10", "steepest"):
        with pytest.raises(NoSuggestion, match=r"at the last rate, 1.*raise end"):
            whole.suggest(rule)


def test_a_second_valley_behind_the_break_is_not_believed():
    """As of a network with batch norm, which the break left with weights too large for a high rate to move them."""
    lrs, losses = valley()
    behind = np.geomspace(12, 1e4, 60)
    second = 4 - 2 / (1 + np.exp(-4 * (np.log10(behind) - 2.5)))
    noise = 0.03 * np.random.default_rng(0).normal(size=160)
    first = LRCurve(lrs, losses + noise[:100])
    both = LRCurve(np.append(lrs, behind), np.append(losses, second) + noise)
    assert both.losses[100:].min() < both.losses[:100].min() - 1
    assert first.broke == pytest.approx(4, rel=0.3)
    assert both.broke == pytest.approx(4, rel=0.3)
    for rule in RULES:
        assert both.suggest(rule) == pytest.approx(first.suggest(rule), rel=0.6)


def test_where_it_broke():
    lrs, losses = valley(noise=0.03)
    assert LRCurve(lrs[:80], losses[:80]).broke is None
    assert LRCurve(lrs[:80], losses[:80], stopped="not finite").broke == lrs[79]
    one_bad_batch = losses[:80].copy()
    one_bad_batch[40] = 60.0
    assert LRCurve(lrs[:80], one_bad_batch).broke is None
    noise = np.random.default_rng(0).normal(size=(200, 100))
    assert sum(LRCurve(lrs, 4 + row).broke is not None for row in noise) < 20


# ------------------------------------------------------------------------------------------ suggested


def valley(points=100, noise=0.0, seed=0):
    """A plateau at 4, a fall around 0.01, the lowest place at 0.5, then a wall."""
    lrs = np.geomspace(1e-5, 10, points)
    at = np.log10(lrs)
    losses = 4 - 1 / (1 + np.exp(-4 * (at + 2))) + np.exp(4 * (at - 0.6))
    return lrs, losses + noise * np.random.default_rng(seed).normal(size=points)


def test_each_rule_where_it_says():
    curve = LRCurve(*valley(), smoothing=0.0)
    assert curve.suggest() == curve.suggest("steepest") == pytest.approx(0.01, rel=0.2)
    lowest = curve.lrs[curve.losses.argmin()]
    assert curve.suggest("minimum") == pytest.approx(lowest, rel=0.3)
    assert curve.suggest("minimum/10") == pytest.approx(curve.suggest("minimum") / 10)
    assert 1e-4 < curve.suggest("valley") < lowest


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_stays_in_place_when_there_is_noise(rule):
    plain = LRCurve(*valley()).suggest(rule)
    noisy = [LRCurve(*valley(noise=0.08, seed=seed)).suggest(rule) for seed in range(20)]
    assert plain / 8 < min(noisy)
    assert max(noisy) < plain * 8
    assert np.median(noisy) == pytest.approx(plain, rel=1.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("place", [5, 20, 60, 90])
@pytest.mark.parametrize("height", [-3.5, 40.0])
def test_one_batch_moves_no_suggestion(rule, place, height):
    lrs, losses = valley()
    plain = LRCurve(lrs, losses).suggest(rule)
    losses[place] += height
    assert LRCurve(lrs, losses).suggest(rule) == pytest.approx(plain, rel=0.3)


def test_smoothing_does_not_shift():
    symmetric = 4 - np.exp(-(np.linspace(-4, 4, 101) ** 2))
    assert smooth(symmetric) == pytest.approx(smooth(symmetric)[::-1])
    assert smooth(symmetric).argmin() == 50
    assert smooth(np.linspace(5, 1, 101), 0.02)[20:80] == pytest.approx(np.linspace(5, 1, 101)[20:80])


def test_the_wall_does_not_bend_the_valley():
    lrs, losses = valley()
    higher = losses.copy()
    higher[-8:] *= 1e6
    for rule in RULES:
        assert LRCurve(lrs, higher).suggest(rule) == pytest.approx(LRCurve(lrs, losses).suggest(rule), rel=0.3)


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (lambda: LRCurve(np.geomspace(1e-3, 1, 9), np.linspace(4, 2, 9)), "9 points, and it takes 10.*more steps"),
        (
            lambda: LRCurve(np.geomspace(1e-3, 1, 9), np.linspace(4, 2, 9), stopped="diverged"),
            r"smaller start \(the loss broke at 1\)",
        ),
        (lambda: LRCurve(np.geomspace(1e-3, 1, 50), np.full(50, 4.0)), "falls by 0 at most"),
        (lambda: LRCurve(np.geomspace(1e-3, 1, 50), np.linspace(4, 9, 50)), "falls by 0 at most"),
        (lambda: LRCurve(np.geomspace(1, 1.9, 20), np.linspace(4, 9, 20), stopped="diverged"), "right after the start"),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_no_suggestion_where_there_is_none(curve, message, rule):
    with pytest.raises(NoSuggestion, match=message):
        curve().suggest(rule)


@pytest.mark.parametrize("smoothing", [0.03, 0.05, 0.1])
def test_noise_rarely_looks_like_a_valley(smoothing):
    noise = np.random.default_rng(0).normal(size=(100, 100))
    curves = {row: LRCurve(np.geomspace(1e-4, 10, 100), 4 + noise[row], smoothing=smoothing) for row in range(100)}
    found = Spread(curves).suggestions("valley").values()
    assert sum(math.isnan(lr) for lr in found) > 70
    with pytest.raises(NoSuggestion, match=r"one batch differs from the next by .*wider range"):
        curves[min(row for row, lr in enumerate(found) if math.isnan(lr))].suggest("valley")


def test_an_unknown_rule():
    with pytest.raises(ValueError, match=r"unknown rule 'lowest'; known are steepest, valley, minimum/10, minimum"):
        LRCurve(*valley()).suggest("lowest")


def test_a_curve_is_frozen():
    lrs, losses = valley()
    curve = LRCurve(lrs, losses)
    lrs[0] = 99.0
    assert curve.lrs[0] == pytest.approx(1e-5)
    with pytest.raises(ValueError, match="read-only"):
        curve.losses[0] = 0.0
    with pytest.raises(AttributeError):
        curve.stopped = "end"


def test_a_curve_as_a_table():
    table = LRCurve([1, 2, 3], [3, 2, 1], smoothing=0.0).to_frame()
    assert list(table.columns) == ["lr", "loss", "smoothed"]
    assert table["loss"].tolist() == [3, 2, 1]


# ---------------------------------------------------------------------------------------- several seeds


def test_several_seeds():
    spread = range_tests(make, [3, 1, 2], **QUICK)
    assert list(spread.curves) == [3, 1, 2]
    alone = range_test(*make(1), **QUICK)
    assert np.array_equal(spread.curves[1].losses, alone.losses)
    assert not np.array_equal(spread.curves[1].losses, spread.curves[2].losses)
    table = spread.to_frame()
    assert list(table.index) == list(RULES)
    for rule, row in table.iterrows():
        found = [lr for lr in spread.suggestions(rule).values() if math.isfinite(lr)]
        assert row["seeds"] == len(found)
        if found:
            assert (row["lowest"], row["highest"]) == (min(found), max(found))
            assert row["factor"] == pytest.approx(max(found) / min(found))
            assert row["median"] == pytest.approx(math.exp(np.median(np.log(found))))


def test_seeds_without_a_suggestion_are_counted_and_not_made_up():
    flat = LRCurve(np.geomspace(1e-3, 1, 50), np.full(50, 4.0))
    spread = Spread({0: LRCurve(*valley()), 1: flat})
    assert math.isnan(spread.suggestions()[1])
    assert spread.to_frame().loc["steepest", "seeds"] == 1
    assert spread.median() == LRCurve(*valley()).suggest()
    hopeless = Spread({0: flat})
    assert hopeless.to_frame().loc["steepest", "seeds"] == 0
    with pytest.raises(NoSuggestion, match="nothing on any of 1 curves"):
        hopeless.median()


# --------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": 0.0}, r"start = 0.0 and end = 10.0: rates have to be above 0"),
        ({"start": 10.0, "end": 1.0}, "start below end"),
        ({"end": math.inf}, "finite"),
        ({"start": math.nan}, "start = nan"),
        ({"steps": 9}, "steps = 9 are too few for a curve; give at least 10"),
        ({"smoothing": 0.6}, "smoothing = 0.6 is out of range"),
        ({"divergence": 1.0}, r"divergence = 1.0 has to be above 1"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        range_test(*make(), **QUICK | changes)


def test_an_empty_loader_and_one_that_cannot_go_round():
    model, optimizer, criterion, _ = make()
    with pytest.raises(ValueError, match="the loader gave no batch"):
        range_test(model, optimizer, criterion, [], **QUICK)
    few = iter([tuple(batch) for batch in DataLoader(items(), batch_size=16)])
    with pytest.raises(ValueError, match="gave 6 batches and cannot be started again"):
        range_test(model, optimizer, criterion, few, **QUICK)


def test_an_optimizer_of_another_model():
    model, _, criterion, loader = make()
    other = torch.optim.SGD(Net().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the optimizer has none of the model's trained parameters"):
        range_test(model, other, criterion, loader, **QUICK)


def test_a_model_that_cannot_be_copied():
    model, optimizer, criterion, loader = make()
    model.stored = model.head.weight * 2  # no leaf of the graph
    with pytest.raises(ValueError, match=r"cannot be copied.*the test trains a copy"):
        range_test(model, optimizer, criterion, loader, **QUICK)


def test_inputs_that_are_not_finite():
    model, optimizer, criterion, _ = make()
    with pytest.raises(ValueError, match=r"the loss of the first batch is not finite.*inputs or the weights"):
        range_test(model, optimizer, criterion, [(torch.full((4, 6), math.nan), torch.zeros(4).long())], **QUICK)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: distributed.World(world_size=2))
    with pytest.raises(ValueError, match="a range test runs in one process"):
        range_test(*make(), **QUICK)


@pytest.mark.parametrize(
    ("lrs", "losses", "message"),
    [
        ([1, 2], [1], "give one loss for each"),
        ([], [], "give one loss for each"),
        ([1, 2], [1, math.nan], "not finite"),
        ([0, 1], [1, 1], "above 0"),
        ([1, 1], [1, 1], "rise from step to step"),
    ],
)
def test_points_that_are_no_curve(lrs, losses, message):
    with pytest.raises(ValueError, match=message):
        LRCurve(lrs, losses)


def test_no_seed():
    with pytest.raises(ValueError, match="no seed to test with"):
        range_tests(make, [])

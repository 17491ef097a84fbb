"""The step profiler: what it measures, what it leaves alone, and how it reads an asynchronous device."""

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clslab import timing
from clslab.device import Machine
from clslab.recipe import Recipe
from clslab.timing import PARTS, StepTimes, WaitingDataset, benchmark_table, occupancy, profile_steps

CPU = Machine(device="cpu", threads=1, name="a processor")


class Net(nn.Module):
    """Batch norm and dropout: a step changes weights, statistics and the random state."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, inputs):
        return self.layers(inputs)


def items(n=10):
    return TensorDataset(torch.randn(n, 4), torch.arange(n) % 2)


def step_times(waiting, rest, *, free=None, machine=CPU):
    """Two steps of 32 pictures: `waiting` seconds each, and `rest` seconds in each other part."""
    seconds = {part: np.full(2, waiting if part == "waiting" else rest) for part in PARTS}
    return StepTimes(seconds, np.array([32, 32]), machine, free)


class FakeDevice:
    """A clock and a device that works on by itself: a call costs the program nothing until it waits."""

    def __init__(self):
        self.now = 0.0  # of the program
        self.done = 0.0  # when the device has done all that it was told
        self.waits = 0

    def perf_counter(self):
        return self.now

    def synchronize(self, device=None):
        self.waits += 1
        self.now = max(self.now, self.done)

    def work(self, seconds):
        self.done = max(self.done, self.now) + seconds

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def fake(monkeypatch):
    """A CUDA machine whose device is simulated, and a training step that takes 10 ms of it."""
    device = FakeDevice()
    monkeypatch.setattr(timing.time, "perf_counter", device.perf_counter)
    monkeypatch.setattr(timing.torch.cuda, "synchronize", device.synchronize)
    monkeypatch.setattr(timing.torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    monkeypatch.setattr(Machine, "on_cuda", property(lambda self: True))

    def one_step(trainee, batches, lap):
        batch = next(batches)
        for part, seconds in zip(PARTS, (0.0, 0.001, 0.003, 0.005, 0.001), strict=True):
            device.work(seconds)
            lap(part)
        return len(batch)

    monkeypatch.setattr(timing, "_one_step", one_step)
    return device


def loading(device, seconds):
    """Batches of two that take `seconds` of the program's time."""
    while True:
        device.sleep(seconds)
        yield [0, 0]


def test_each_part_is_timed_in_each_step():
    times = profile_steps(Net(), DataLoader(items(), batch_size=4), steps=5, warmup=1, machine=CPU)
    assert tuple(times.seconds) == PARTS
    assert all(taken.shape == (5,) and (taken >= 0).all() for taken in times.seconds.values())
    assert times.pictures.tolist() == [4, 2, 4, 4, 2]  # the first batch warmed up; the short last one counts
    assert times.machine == CPU
    assert times.free_seconds is None
    assert sum(times.shares().values()) == pytest.approx(1)


def test_waiting_is_counted_as_waiting_and_nothing_else_is():
    slow = DataLoader(WaitingDataset(items(16), seconds=0.02), batch_size=4)
    times = profile_steps(nn.Linear(4, 2), slow, steps=3, warmup=1, machine=CPU)
    assert times.seconds["waiting"].min() >= 0.08  # a sleep is never shorter
    assert times.verdict() == "loader-bound"


def test_model_gradients_modes_and_random_state_are_left_as_they_were():
    net = Net()
    net.layers[1].eval()
    net(torch.randn(4, 4)).sum().backward()
    before = copy.deepcopy(net.state_dict())
    gradients = [weight.grad.clone() for weight in net.parameters()]
    modes = [module.training for module in net.modules()]
    shuffled = DataLoader(items(), batch_size=4, shuffle=True)
    state = torch.random.get_rng_state()
    profile_steps(net, shuffled, steps=4, machine=CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(torch.equal(w.grad, g) for w, g in zip(net.parameters(), gradients, strict=True))
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_really_trains_the_recipe(monkeypatch):
    trained = []
    kept = timing._Trainee.of.__func__

    def remember(cls, model, recipe, machine):
        trained.append(model)
        return kept(cls, model, recipe, machine)

    monkeypatch.setattr(timing._Trainee, "of", classmethod(remember))
    net = nn.Linear(4, 2)
    recipe = Recipe(optimizer="sgd", lr=0.1, clip_norm=1.0)
    profile_steps(net, DataLoader(items(), batch_size=5), recipe, steps=3, machine=CPU)
    assert trained[0] is not net
    assert not torch.equal(trained[0].weight, net.weight)


def test_the_loader_is_told_which_epoch_it_is_and_closed_at_the_end():
    class Loader:
        epochs, closed = [], 0

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

        def __iter__(self):
            try:
                for _ in range(2):
                    yield torch.randn(3, 4), torch.tensor([0, 1, 0])
            finally:
                self.closed += 1

    loader = Loader()
    profile_steps(nn.Linear(4, 2), loader, steps=3, warmup=0, machine=CPU)
    assert loader.epochs == [1, 2]
    assert loader.closed == 2  # the second pass was left in its middle


def test_the_loader_is_closed_before_the_random_state_is_given_back():
    class Loader:
        def __iter__(self):
            try:
                while True:
                    yield torch.zeros(3, 4), torch.tensor([0, 1, 0])
            finally:
                torch.rand(1)  # as a thread does that is just reading ahead

    model = nn.Linear(4, 2)
    before = torch.random.get_rng_state()
    profile_steps(model, Loader(), steps=1, warmup=0, machine=CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("batches", [[], iter([(torch.randn(3, 4), torch.tensor([0, 1, 0]))])])
def test_too_few_batches_are_an_error_that_says_so(batches):
    with pytest.raises(ValueError, match="ask for fewer steps"):
        profile_steps(nn.Linear(4, 2), batches, steps=3, warmup=0, machine=CPU)


@pytest.mark.parametrize(("steps", "warmup"), [(0, 3), (5, -1)])
def test_steps_and_warmup_are_checked(steps, warmup):
    with pytest.raises(ValueError, match=f"steps is {steps} and warmup {warmup}"):
        profile_steps(nn.Linear(4, 2), [], steps=steps, warmup=warmup)


def test_a_step_of_two_passes_is_refused():
    with pytest.raises(ValueError, match=r"sam_rho = 0\.05: a step with SAM has two forward"):
        profile_steps(nn.Linear(4, 2), DataLoader(items()), Recipe(sam_rho=0.05), steps=1, machine=CPU)


def test_the_recipe_decides_on_the_precision():
    recipe = Recipe(precision="bf16")
    times = profile_steps(nn.Linear(4, 2), DataLoader(items()), recipe, steps=1, machine=CPU)
    assert times.machine.precision == "bf16"


def test_an_asynchronous_device_is_waited_for_after_every_part(fake):
    times = profile_steps(nn.Linear(4, 2), loading(fake, 0.004), steps=3, warmup=1, machine=CPU)
    expected = dict(zip(PARTS, (0.004, 0.001, 0.003, 0.005, 0.001), strict=True))
    for part, seconds in expected.items():
        assert times.seconds[part] == pytest.approx(seconds), part
    assert fake.waits >= 3 * len(PARTS)
    assert "wait for the device after each" in times.describe()


def test_loading_that_hides_behind_the_device_is_no_waiting(fake):
    times = profile_steps(nn.Linear(4, 2), loading(fake, 0.004), steps=50, warmup=1, machine=CPU)
    assert times.shares()["waiting"] == pytest.approx(4 / 14)  # of the synchronised steps
    assert times.waiting_share() < 0.02  # the device computes all the while: 10 ms a step, 4 of them hidden
    assert times.verdict() == "model-bound"
    assert times.images_per_second == pytest.approx(2 / 0.010, rel=0.02)


def test_loading_that_is_longer_than_the_work_of_the_device_shows(fake):
    times = profile_steps(nn.Linear(4, 2), loading(fake, 0.04), steps=50, warmup=1, machine=CPU)
    assert times.waiting_share() == pytest.approx(0.75, abs=0.02)
    assert times.headroom() == pytest.approx(4, rel=0.08)
    assert times.verdict() == "loader-bound"


def test_shares_headroom_and_speed():
    times = step_times(waiting=0.06, rest=0.01)
    assert times.shares() == pytest.approx(
        {"waiting": 0.6, "copying": 0.1, "forward": 0.1, "backward": 0.1, "step": 0.1}
    )
    assert times.headroom() == pytest.approx(2.5)
    assert times.images_per_second == pytest.approx(320)
    assert "60% waiting for data, loader-bound; 320 images/s" in times.describe()
    table = times.summary()
    assert table.loc["waiting", "median (ms)"] == pytest.approx(60)
    assert table["share"].sum() == pytest.approx(1)


def test_measurements_taken_in_turns_add_up():
    both = step_times(0.06, 0.01) + step_times(0.02, 0.01)
    assert both.seconds["waiting"].tolist() == [0.06, 0.06, 0.02, 0.02]
    assert both.pictures.sum() == 128
    assert both.free_seconds is None
    assert (step_times(0.1, 0.1, free=0.3) + step_times(0.1, 0.1, free=0.5)).free_seconds == pytest.approx(0.8)
    with pytest.raises(ValueError, match="measure both on one machine"):
        step_times(0.1, 0.1) + step_times(0.1, 0.1, machine=CPU.replace(precision="bf16"))


def test_speed_up_is_the_ratio_of_rates_with_an_interval_over_steps():
    noise = np.random.default_rng(0)
    before, after = (
        StepTimes({part: scale * noise.uniform(0.8, 1.2, 40) for part in PARTS}, noise.integers(30, 34, 40), CPU)
        for scale in (0.03, 0.01)
    )
    ratio, low, high = timing.speed_up(before, after)
    assert ratio == pytest.approx(after.images_per_second / before.images_per_second)
    assert 2.8 < low < ratio < high < 3.3
    back, back_low, back_high = timing.speed_up(after, before)
    assert (1 / back, 1 / back_high, 1 / back_low) == pytest.approx((ratio, low, high), rel=0.01)
    now_and_then = np.array([0.01] * 8 + [0.11] * 2)  # a mean of 3, most likely 0 to 5 of ten steps slow: 1 to 6
    slow, even = (
        StepTimes(dict.fromkeys(PARTS, taken), np.full(10, 32), CPU) for taken in (now_and_then, np.full(10, 0.01))
    )
    assert timing.speed_up(slow, even) == pytest.approx((3, 1, 6))
    narrow = timing.speed_up(before, after, confidence=0.5)
    assert narrow[2] - narrow[1] < high - low
    with pytest.raises(ValueError, match="confidence is 95"):
        timing.speed_up(before, after, confidence=95)


@pytest.mark.parametrize(
    ("waiting", "verdict"), [(0.0, "model-bound"), (0.004, "model-bound"), (0.005, "loader-bound")]
)
def test_the_verdict_turns_at_a_tenth(waiting, verdict):
    assert step_times(waiting, 0.01).verdict() == verdict  # 0, 9 and 11 %


def test_a_waiting_dataset_gives_the_items_of_the_other_one():
    plain = items(7)
    slow = WaitingDataset(plain, seconds=0.0)
    assert len(slow) == 7
    for ours, theirs in zip(DataLoader(slow, batch_size=3), DataLoader(plain, batch_size=3), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with pytest.raises(ValueError, match=r"seconds is -0.1"):
        WaitingDataset(plain, seconds=-0.1)


def test_a_waiting_dataset_waits_once_per_batch_as_long_as_all_items(monkeypatch):
    slept = []
    monkeypatch.setattr(timing.time, "sleep", slept.append)
    slow = WaitingDataset(items(6), seconds=0.5)
    list(DataLoader(slow, batch_size=4))
    slow[0]
    assert slept == [2.0, 1.0, 0.5]


def test_occupancy_is_the_share_of_each_period():
    assert occupancy([(0.5, 2.0)], every=1, until=3).tolist() == [0.5, 1.0, 0.0]
    assert occupancy([], every=0.1, until=0.3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        occupancy([(2, 1)], every=1, until=3)
    with pytest.raises(ValueError, match="every is 2"):
        occupancy([], every=2, until=1)


RECORD = {
    "benchmark": "loading",
    "ratios": {"plain over background": {"median": 1.9, "low": 1.8, "high": 1.95, "pairs": 31,
                                         "seconds_first": 1.9, "seconds_second": 1.0},
               "free": {"median": 0.99, "low": 0.97, "high": 1.01, "pairs": 31,
                        "seconds_first": 0.99, "seconds_second": 1.0}},
    "aims": {"free": 0.98},
    "machine": {"described": "cpu (a processor, 1 thread), fp32, contiguous"},
    "date": "2025-01-02",
    "notes": "a wait before each batch",
}  # fmt: skip


def test_the_benchmark_table_holds_what_is_recorded(tmp_path):
    (tmp_path / "loading.json").write_text(json.dumps(RECORD), encoding="utf-8")
    table = benchmark_table(tmp_path, ["not_recorded", "loading"])
    assert table["comparison"].tolist() == ["plain over background", "free"]
    assert table[["ratio", "low", "high"]].iloc[0].tolist() == [1.9, 1.8, 1.95]
    assert np.isnan(table["aim"].iloc[0])
    assert table["aim"].iloc[1] == 0.98
    assert len(benchmark_table(tmp_path)) == 2
    assert table["notes"].tolist() == ["a wait before each batch"] * 2
    assert len(benchmark_table(tmp_path, [])) == 0
    (tmp_path / "memory.json").write_text(json.dumps(RECORD | {"ratios": {}}), encoding="utf-8")
    assert len(benchmark_table(tmp_path)) == 2


def test_another_kind_of_machine_has_rows_of_its_own(tmp_path):
    for stem in ("loading", "loading@bf16", "loadings"):
        (tmp_path / f"{stem}.json").write_text(
            json.dumps(RECORD | {"benchmark": stem.partition("@")[0]}), encoding="utf-8"
        )
    table = benchmark_table(tmp_path, ["loading"])
    assert table["benchmark"].tolist() == ["loading"] * 2 + ["loading@bf16"] * 2
    assert len(benchmark_table(tmp_path)) == 6
    (tmp_path / "loading@bf16.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"python benchmarks/loading\.py --record bf16$"):
        benchmark_table(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"benchmark": "x"}', '{"benchmark": "x", "ratios": {"a": {}}, "aims": {}}']
)
def test_what_is_no_record_is_named(tmp_path, text):
    (tmp_path / "broken.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json is no record"):
        benchmark_table(tmp_path)

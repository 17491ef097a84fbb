import contextlib
import copy
import math

import pytest
import torch
from torch import nn

from clslab import device
from clslab.device import Machine, borrowed, choose
from clslab.models.small import SmallCNN


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("CLSLAB_PRECISION", "CLSLAB_MEMORY_FORMAT", "CLSLAB_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_without_a_task_the_choice_is_the_plain_one():
    machine = choose()
    assert (machine.device, machine.precision) == ("cpu", "fp32")
    assert machine.memory_format == "contiguous"
    assert machine.threads == torch.get_num_threads()
    assert machine.name


def test_without_a_setting_the_device_is_the_best_there_is(monkeypatch):
    monkeypatch.delenv("CLSLAB_DEVICE")
    assert choose().on_cuda == torch.cuda.is_available()


def test_environment_overrides(monkeypatch):
    monkeypatch.setenv("CLSLAB_PRECISION", "bf16")
    assert choose().precision == "bf16"
    monkeypatch.setenv("CLSLAB_PRECISION", "int3")
    with pytest.raises(ValueError, match=r"unknown precision 'int3'.*CLSLAB_PRECISION"):
        choose()
    monkeypatch.setenv("CLSLAB_PRECISION", "fp32")
    monkeypatch.setenv("CLSLAB_DEVICE", "toaster")
    with pytest.raises(ValueError, match=r"unknown device 'toaster'.*CLSLAB_DEVICE"):
        choose()
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")
    monkeypatch.setenv("CLSLAB_THREADS", "3")
    monkeypatch.setenv("CLSLAB_MEMORY_FORMAT", "channels_last")
    assert (choose().threads, choose().memory_format) == (3, "channels_last")
    for wrong, message in (("0", "threads = 0 is out of range"), ("all", "CLSLAB_THREADS is 'all'")):
        monkeypatch.setenv("CLSLAB_THREADS", wrong)
        with pytest.raises(ValueError, match=message):
            choose()


def test_the_precision_of_a_recipe_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("CLSLAB_PRECISION", "fp32")
    assert choose(precision="bf16").precision == "bf16"
    assert choose(precision="auto").precision == "fp32"
    with pytest.raises(ValueError, match="'fp16' needs a CUDA device"):
        choose(precision="fp16")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": "cuda:99"}, "'cuda:99' is not available"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"precision": "fp16"}, "'fp16' needs a CUDA device"),
        ({"memory_format": "nhwc"}, "unknown memory format 'nhwc'"),
        ({"threads": 0}, "threads = 0 is out of range"),
    ],
)
def test_wrong_machines_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Machine(**fields)


def test_description_is_one_line_and_the_fields_travel():
    machine = Machine("cpu", "bf16", "channels_last", threads=2, name="chip")
    assert machine.describe() == "cpu (chip, 2 threads), bf16, channels_last"
    assert Machine.from_dict(machine.to_dict()) == machine


def test_autocast_follows_the_precision():
    layer, inputs = nn.Linear(2, 2), torch.ones(1, 2)
    with Machine(precision="bf16").autocast():
        assert layer(inputs).dtype == torch.bfloat16
    with Machine().autocast():
        assert layer(inputs).dtype == torch.float32


def test_place_leaves_meta_behind_and_changes_the_format_of_pictures_only():
    machine = Machine(memory_format="channels_last")
    inputs, targets = machine.place((torch.zeros(2, 3, 4, 4), torch.zeros(2), {"meta": "kept"}))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert targets.shape == (2,)
    features, levels = machine.place((torch.zeros(2, 5), [torch.zeros(2), torch.ones(2)]))
    assert features.shape == (2, 5)
    assert isinstance(levels, tuple)


@pytest.mark.parametrize(("device", "waits"), [("cpu", True), ("cuda", False)])
def test_a_copy_to_the_cpu_is_waited_for(device, waits, monkeypatch):
    monkeypatch.setattr("clslab.device._check_device", lambda _: None)

    class Spy:
        ndim = 2

        def to(self, place, *, non_blocking):
            assert place == device
            asked.append(non_blocking)
            return self

    asked = []
    Machine(device=device).place((Spy(), [Spy(), Spy()]))
    Machine(device=device).place((Spy(), Spy()))
    assert asked == [not waits] * 5


class Steps:
    """Training steps that take as long as a table says, by a clock of their own.

    The table holds seconds per picture; a function gives them for the number of pictures in a step.
    """

    def __init__(self, monkeypatch, seconds, *, bf16=False, busy=False) -> None:
        self.now, self.seconds, self.asked = 0.0, seconds, []
        monkeypatch.setattr(device.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(device, "_step_seconds", self.step)
        monkeypatch.setattr(device, "cpu_has_bf16", lambda: bf16)
        monkeypatch.setattr(device, "_threads_get_in_the_way", lambda threads: busy)

    def step(self, machine, model, inputs):
        """Seconds per picture of the first row of the table that fits the machine."""
        has = {machine.precision, machine.memory_format, machine.threads}
        each = next(seconds for way, seconds in self.seconds.items() if set(way) <= has)
        each = each(len(inputs)) if callable(each) else each
        self.asked.append((machine, len(inputs)))
        self.now += 0 if math.isinf(each) else each * len(inputs)
        return each * len(inputs)

    def choose(self, batch=64):
        machine = choose((SmallCNN(2), torch.zeros(batch, 3, 8, 8)))
        assert self.now < 2, "the measurement takes less than two seconds"
        return machine.precision, machine.memory_format, machine.threads


PLAIN = ("fp32", "contiguous", 2)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({(): 1}, PLAIN),
        ({("channels_last",): 0.6, (): 1}, ("fp32", "channels_last", 2)),
        ({("channels_last",): 0.96, (): 1}, PLAIN),
        ({(1,): 0.5, (): 1}, ("fp32", "contiguous", 1)),
        ({(1,): 1.6, (): 1}, PLAIN),
        ({("bf16", "channels_last"): 0.3, ("bf16",): 0.8, (): 1}, ("bf16", "channels_last", 2)),
        ({("bf16",): 1.4, ("channels_last",): 0.7, (): 1}, ("fp32", "channels_last", 2)),
        # Half precision has to save 5 % against the best full one, not only against the plain one.
        ({("bf16", "channels_last"): 0.58, ("channels_last",): 0.6, (): 1}, ("fp32", "channels_last", 2)),
        # Where one thread saves too little to decide at once, every way is tried with both.
        ({("bf16", "channels_last", 1): 0.1, (1,): 0.8, (): 1}, ("bf16", "channels_last", 1)),
        ({("bf16", 2): 0.2, (1,): 0.8, (): 1}, ("bf16", "contiguous", 2)),
    ],
)
@pytest.mark.parametrize("each", [1e-5, 1e-3, 1e-2])
def test_the_measured_choice_takes_the_fastest_way_that_is_worth_it(monkeypatch, table, expected, each):
    steps = Steps(monkeypatch, {way: each * seconds for way, seconds in table.items()}, bf16=True)
    assert steps.choose() == expected


@pytest.mark.usefixtures("two_threads")
def test_only_what_the_hardware_computes_in_is_tried(monkeypatch):
    steps = Steps(monkeypatch, {("bf16",): 0.001, (): 0.01}, bf16=False)
    assert steps.choose() == PLAIN
    assert {machine.precision for machine, _ in steps.asked} == {"fp32"}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("name", "value", "tried"),
    [
        ("CLSLAB_PRECISION", "bf16", {("bf16", layout, count) for layout in device.MEMORY_FORMATS for count in (1, 2)}),
        ("CLSLAB_THREADS", "2", {("fp32", layout, 2) for layout in device.MEMORY_FORMATS}),
        ("OMP_NUM_THREADS", "2", {("fp32", layout, 2) for layout in device.MEMORY_FORMATS}),
        ("CLSLAB_MEMORY_FORMAT", "channels_last", {("fp32", "channels_last", count) for count in (1, 2)}),
    ],
)
def test_what_the_environment_fixes_is_not_tried_out(monkeypatch, name, value, tried):
    steps = Steps(monkeypatch, {(1,): 0.0008, (): 0.001})
    monkeypatch.setenv(name, value)
    steps.choose()
    assert {(way.precision, way.memory_format, way.threads) for way, _ in steps.asked} == tried


@pytest.mark.usefixtures("two_threads")
def test_nothing_is_measured_where_there_is_no_choice(monkeypatch):
    steps = Steps(monkeypatch, {(): 0.001})
    monkeypatch.setenv("CLSLAB_MEMORY_FORMAT", "contiguous")
    monkeypatch.setenv("CLSLAB_THREADS", "1")
    assert steps.choose() == ("fp32", "contiguous", 1)
    assert steps.asked == []


@pytest.mark.usefixtures("two_threads")
def test_on_busy_cores_one_thread_is_taken_without_trying_several(monkeypatch):
    steps = Steps(monkeypatch, {(2,): 100, (): 0.001}, busy=True)
    assert steps.choose() == ("fp32", "contiguous", 1)


def test_cores_are_busy_if_several_threads_are_much_slower_than_one(monkeypatch):
    cost = {1: 0.001, 4: 0.0}
    now, threads = [0.0], [1]

    def clock():
        now[0] += cost[threads[0]] / 2
        return now[0]

    before = torch.get_num_threads()
    monkeypatch.setattr(device.time, "perf_counter", clock)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: threads.__setitem__(0, count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: before)
    cost[before] = 0.0
    for slow, busy in ((0.0005, False), (0.0015, False), (0.003, True), (0.5, True)):
        cost[1], cost[4] = 0.001, slow
        assert device._threads_get_in_the_way(4) is busy
        assert threads == [before], "the number of threads is given back"


@pytest.mark.parametrize(("each", "batch", "pictures"), [(1e-4, 64, 64), (1e-3, 4096, None), (0.1, 64, 2)])
def test_the_real_batch_is_timed_if_there_is_time(monkeypatch, each, batch, pictures):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    steps = Steps(monkeypatch, {(): each})
    steps.choose(batch)
    timed = steps.asked[2:] if each < 0.05 else steps.asked[1:]
    sizes = {size for _, size in timed}
    assert len(sizes) == 1, "all ways are timed on the same pictures"
    assert sizes == {pictures} if pictures else 50 < sizes.pop() < batch
    assert len(timed) >= 6


@pytest.mark.parametrize(("each", "times"), [(0.35, 2), (0.9, 1)])
def test_what_there_is_no_time_for_is_not_timed(monkeypatch, each, times):
    steps = Steps(monkeypatch, {("channels_last",): each / 2, (): each})
    assert steps.choose()[1] == "contiguous"
    assert len(steps.asked) == times


def test_a_way_that_is_hopeless_is_not_timed_again(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    steps = Steps(monkeypatch, {("channels_last",): 0.002, (): 0.001})
    steps.choose()
    assert sum(way.memory_format == "channels_last" for way, _ in steps.asked) == 2
    assert len(steps.asked) == 6, "and with one way left there is nothing more to find out"


@pytest.mark.parametrize("batch", [64, 4096])
def test_with_one_way_left_there_is_nothing_more_to_find_out(monkeypatch, batch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    steps = Steps(monkeypatch, {("channels_last",): 0.0005, (): 0.001})
    assert steps.choose(batch)[1] == "channels_last"
    assert len(steps.asked) == 6


def few_and_many(few, many):
    """Seconds per picture in a step of few pictures, and of eight or more."""
    return lambda count: few if count < 8 else many


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("channels_last", "contiguous"),
    [
        (few_and_many(0.010, 0.006), 0.008),  # one turn is all there is time for
        (few_and_many(0.010, 0.003), few_and_many(0.008, 0.004)),
    ],
)
def test_what_is_left_is_timed_on_more_pictures(monkeypatch, channels_last, contiguous):
    """Of a large network there is time for two pictures at first, and on two the wrong format is ahead."""
    table = {("bf16", "channels_last", 2): channels_last, ("bf16", 2): contiguous, (1,): 0.03, (): 0.02}
    steps = Steps(monkeypatch, table, bf16=True)
    assert steps.choose() == ("bf16", "channels_last", 2)
    timed = [(way, size) for way, size in steps.asked if size > device.FEWEST]
    assert {(way.precision, way.threads) for way, _ in timed} == {("bf16", 2)}
    assert min(size for _, size in timed) >= 8


@pytest.mark.usefixtures("two_threads")
def test_if_more_pictures_take_much_more_there_is_no_time_for_them(monkeypatch):
    table = {("bf16", "channels_last", 2): few_and_many(0.010, 0.012), ("bf16", 2): few_and_many(0.008, 0.015)}
    assert Steps(monkeypatch, table | {(1,): 0.03, (): 0.02}, bf16=True).choose() == ("bf16", "contiguous", 2)


@pytest.mark.usefixtures("two_threads")
def test_what_few_pictures_took_is_not_compared_with_what_many_take(monkeypatch):
    """One thread is not worth it on few pictures; that several take longer on many does not bring it back."""
    rising = {(2,): lambda count: 0.0100 if count < 30 else 0.0109, (1,): 0.0098}
    assert Steps(monkeypatch, rising).choose(256) == PLAIN


@pytest.mark.usefixtures("two_threads")
def test_if_no_way_can_take_more_pictures_few_of_them_decide(monkeypatch):
    table = {
        ("bf16", "channels_last", 2): lambda count: math.inf if count > 8 else 0.006,
        ("bf16", 2): lambda count: math.inf if count > 8 else 0.008,
        (1,): 0.03,
        (): 0.02,
    }
    assert Steps(monkeypatch, table, bf16=True).choose() == ("bf16", "channels_last", 2)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("one", "left"), [(0.99, {2}), (0.8, {1, 2}), (0.5, {1})])
def test_numbers_of_threads_that_are_not_worth_it_are_tried_in_the_plain_way_only(monkeypatch, one, left):
    steps = Steps(monkeypatch, {(1,): 0.01 * one, (): 0.01}, bf16=True)
    steps.choose()
    assert {way.threads for way, _ in steps.asked if way.precision == "bf16"} == left


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("two_pictures", [0.1, 0.3, 0.5])
def test_of_a_large_network_the_precisions_are_tried_before_the_time_is_up(monkeypatch, two_pictures):
    each = two_pictures / 2
    steps = Steps(monkeypatch, {("bf16", 2): each / 4, (1,): each, (): each / 2}, bf16=True)
    assert steps.choose()[0] == "bf16"


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("batch", [0, 1, 2, 3])
def test_tiny_batches_are_timed_as_they_are(monkeypatch, batch):
    steps = Steps(monkeypatch, {("channels_last",): 0.01, (): 0.02})
    assert steps.choose(batch)[1] == ("channels_last" if batch else "contiguous")
    assert all(size <= batch for _, size in steps.asked)


def test_where_full_precision_needs_too_much_memory_half_of_it_is_tried(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    steps = Steps(monkeypatch, {("fp32",): lambda count: math.inf if count > 2 else 0.001, (): 0.001}, bf16=True)
    assert steps.choose()[0] == "bf16"


def test_a_step_that_needs_too_much_memory_loses(monkeypatch):
    class Greedy(nn.Conv2d):
        def forward(self, inputs):
            if not inputs.is_contiguous():
                raise torch.OutOfMemoryError("too much")
            return super().forward(inputs)

    monkeypatch.setattr(device, "MEASURING_SECONDS", 0.2)
    model = Greedy(3, 2, 3)
    assert choose((model, torch.zeros(4, 3, 8, 8))).memory_format == "contiguous"
    assert model.weight.grad is None


@pytest.mark.parametrize(("has", "half"), [(True, "bf16"), (False, "fp16")])
def test_on_cuda_half_precision_is_what_the_card_computes_in(monkeypatch, has, half):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda name: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    ways = device._ways(Machine("cuda", threads=4), {})
    assert {(way.precision, way.memory_format) for way in ways} == {
        (precision, memory_format) for precision in ("fp32", half) for memory_format in device.MEMORY_FORMATS
    }
    assert {way.threads for way in ways} == {4}


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True)],
)
def test_bf16_units_of_a_cpu_are_recognised(monkeypatch, capabilities, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert device.cpu_has_bf16() is has


def test_bf16_units_are_recognised_by_older_versions_of_torch(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has=has: has)
        assert device.cpu_has_bf16() is has


def test_measuring_leaves_model_threads_and_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(device, "MEASURING_SECONDS", 0.3)
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: True)
    model = nn.Sequential(SmallCNN(2), nn.Dropout())
    before, random, threads = copy.deepcopy(model.state_dict()), torch.get_rng_state(), torch.get_num_threads()
    choose((model, torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.get_num_threads() == threads


def test_features_need_no_measuring():
    assert choose((nn.Linear(3, 2), torch.zeros(4, 3))).memory_format == "contiguous"


def test_borrowed_applies_the_threads_and_gives_them_back():
    before = torch.get_num_threads()
    model = SmallCNN(2)
    with borrowed(model, training=False, machine=Machine(threads=before + 1)):
        assert torch.get_num_threads() == before + 1
        with borrowed(model, training=False, machine=Machine(threads=before + 2)):
            assert torch.get_num_threads() == before + 2
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("training", [True, False])
def test_borrowed_gives_back_modes_gradients_and_format(training):
    model = SmallCNN(2).train()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    machine = Machine(memory_format="channels_last")
    with borrowed(model, training=training, machine=machine) as used:
        assert used is machine
        assert torch.is_grad_enabled() is training
        assert all(module.training is training for module in model.modules())
        assert model.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last)
        with borrowed(model, training=False, machine=machine):
            assert not torch.is_grad_enabled()
        assert model.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last)
        assert model.training is training
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()
    assert model.blocks[1][0].weight.is_contiguous()


def test_borrowed_gives_back_after_an_error():
    model = SmallCNN(2).eval()
    with pytest.raises(RuntimeError, match="in the middle"), borrowed(model, training=True):
        raise RuntimeError("in the middle")
    assert not any(module.training for module in model.modules())


def test_parameters_keep_their_identity():
    model = SmallCNN(2)
    before = [id(weight) for weight in model.parameters()]
    with borrowed(model, training=True, machine=Machine(memory_format="channels_last")):
        assert [id(weight) for weight in model.parameters()] == before
    assert [id(weight) for weight in model.parameters()] == before


def test_a_model_without_parameters_can_be_borrowed():
    with borrowed(nn.ReLU(), training=False) as machine:
        assert machine.device == "cpu"

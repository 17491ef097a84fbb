import copy

import pytest
import torch
from torch import nn

from clslab import device
from clslab.device import Machine, borrowed, choose
from clslab.models.small import SmallCNN


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("CLSLAB_PRECISION", raising=False)
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": "cuda:99"}, "'cuda:99' is not available"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"precision": "fp16"}, "'fp16' needs a CUDA device"),
        ({"memory_format": "nhwc"}, "unknown memory format 'nhwc'"),
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


@pytest.mark.parametrize("faster", ["contiguous", "channels_last"])
def test_the_measured_choice_takes_the_faster_format(monkeypatch, faster):
    def seconds(machine, model, inputs):
        return 0.3 if machine.memory_format == faster else 0.5

    monkeypatch.setattr(device, "MEASURING_SECONDS", 0.0)
    monkeypatch.setattr(device, "_pass_seconds", seconds)
    assert choose((SmallCNN(2), torch.zeros(2, 3, 16, 16))).memory_format == faster


def test_a_small_gain_does_not_change_the_format(monkeypatch):
    def seconds(machine, model, inputs):
        return 0.99 if machine.memory_format == "channels_last" else 1.0

    monkeypatch.setattr(device, "MEASURING_SECONDS", 0.0)
    monkeypatch.setattr(device, "_pass_seconds", seconds)
    assert choose((SmallCNN(2), torch.zeros(2, 3, 16, 16))).memory_format == "contiguous"


def test_measuring_leaves_model_and_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(device, "MEASURING_SECONDS", 0.05)
    model = nn.Sequential(SmallCNN(2), nn.Dropout())
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    choose((model, torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(weight.grad is None for weight in model.parameters())


def test_features_need_no_measuring():
    assert choose((nn.Linear(3, 2), torch.zeros(4, 3))).memory_format == "contiguous"


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

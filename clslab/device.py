"""Which device, precision and memory format a run uses, and the one place that moves a model there.

A `Machine` is chosen once for a run, stored in its record and in its checkpoint, and used again
when the run is resumed: a result belongs to the machine that it was computed on.

Taught in chapter 2.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
MemoryFormat: TypeAlias = Literal["contiguous", "channels_last"]
Targets: TypeAlias = Tensor | tuple[Tensor, ...]

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
MEMORY_FORMATS: dict[str, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
MEASURING_SECONDS = 1.5  # what `choose` may spend on timing
MEASURING_BATCH = 8  # pictures in a timed pass: enough to rank two memory formats
WORTHWHILE = 0.95  # a format has to save 5 % of the time before it replaces the plain one


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        precision: "fp32", or the type that autocast uses: "bf16", or "fp16" on CUDA only.
        memory_format: "channels_last" keeps the channels of a pixel side by side.
        threads: threads that torch uses on the CPU.
        name: name of the processor or the graphics card.

    Raises:
        ValueError: for a device, precision or memory format that is unknown or not available here.

    Taught in chapter 2.

    >>> Machine(device="cpu", threads=1, name="a laptop").describe()
    'cpu (a laptop, 1 thread), fp32, contiguous'
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    memory_format: MemoryFormat = "contiguous"
    threads: int = dataclasses.field(default_factory=torch.get_num_threads)
    name: str = ""

    def __post_init__(self) -> None:
        _check_device(self.device)
        _check_known("precision", self.precision, PRECISIONS)
        _check_known("memory format", self.memory_format, MEMORY_FORMATS)
        if self.precision == "fp16" and not self.on_cuda:
            raise ValueError(
                f"precision 'fp16' needs a CUDA device, and this machine computes on {self.device!r}; "
                "take 'bf16' or 'fp32'"
            )

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a CUDA device, so that a step does not wait for its result."""
        return self.device.startswith("cuda")

    def describe(self) -> str:
        """The machine in one line."""
        threads = f"{self.threads} thread" + ("" if self.threads == 1 else "s")
        inside = ", ".join(part for part in (self.name, threads) if part)
        return f"{self.device} ({inside}), {self.precision}, {self.memory_format}"

    def autocast(self) -> torch.autocast:
        """A context in which forward passes use this machine's precision (switched off for fp32)."""
        return torch.autocast(
            self.device.split(":")[0],
            dtype=PRECISIONS[self.precision] if self.precision != "fp32" else None,
            enabled=self.precision != "fp32",
        )

    def place(self, batch: Sequence[Any]) -> tuple[Tensor, Targets]:
        """Inputs and targets of a batch on this device; further entries (`meta`) stay behind."""
        inputs = batch[0].to(self.device, non_blocking=True)
        if self.memory_format == "channels_last" and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        targets = batch[1]
        if isinstance(targets, list | tuple):
            return inputs, tuple(level.to(self.device, non_blocking=True) for level in targets)
        return inputs, targets.to(self.device, non_blocking=True)

    def replace(self, **changes: Any) -> Machine:
        """The same machine with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Machine:
        """The machine that `to_dict` described.

        Raises:
            ValueError: if its device is not available here.
        """
        return cls(**fields)


def choose(task: tuple[nn.Module, Tensor] | None = None) -> Machine:
    """The machine for a run: the CUDA device if there is one, full precision, and a memory format.

    Without a task the memory format is the plain one. With a task, both formats are timed on a copy
    of the model for at most two seconds; on a CPU the right one can save a third of the time, and
    which one that is depends on the model. Precision is never lowered unasked.
    `$CLSLAB_DEVICE`, `$CLSLAB_PRECISION` and `$CLSLAB_MEMORY_FORMAT` override: runs that are to be
    compared fix all three.

    Args:
        task: a model as it will be trained, and a batch of its inputs `[B, ...]`.

    Raises:
        ValueError: if an environment variable names something unknown or not available.

    Taught in chapter 2.
    """
    device = os.environ.get("CLSLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    precision = os.environ.get("CLSLAB_PRECISION") or "fp32"
    wanted = os.environ.get("CLSLAB_MEMORY_FORMAT") or None
    try:
        _check_device(device)
        _check_known("precision", precision, PRECISIONS)
        if wanted is not None:
            _check_known("memory format", wanted, MEMORY_FORMATS)
    except ValueError as error:
        names = "$CLSLAB_DEVICE, $CLSLAB_PRECISION and $CLSLAB_MEMORY_FORMAT"
        raise ValueError(f"{error} (see {names})") from error
    machine = Machine(device, cast(Precision, precision), name=_name_of(device))
    if wanted is not None:
        return machine.replace(memory_format=wanted)
    if task is None or task[1].ndim != 4:
        return machine
    return machine.replace(memory_format=_faster_format(machine, *task))


@contextlib.contextmanager
def borrowed(model: nn.Module, *, training: bool, machine: Machine | None = None) -> Iterator[Machine]:
    """Take a model to work, and give it back as it was.

    The only place in the library that sets train or eval mode, switches gradients on or off, and
    moves a model. When the block ends, also by an error, every submodule has its own mode again and
    the model is on its own device in its own memory format.

    Args:
        model: taken to the machine's device and memory format.
        training: train mode with gradients, or eval mode without.
        machine: `None` takes the accelerator that the model is on, else `choose()`.

    Yields:
        The machine.

    Taught in chapter 2.
    """
    tensors = itertools.chain(model.parameters(), model.buffers())
    home = next((tensor.device for tensor in tensors), None)
    if machine is None:
        machine = choose() if home is None or home.type == "cpu" else _machine_at(home)
    modes = {module: module.training for module in model.modules()}
    reformatted = machine.memory_format == "channels_last" and not _is_channels_last(model)
    model.to(machine.device)
    if reformatted:
        model.to(memory_format=torch.channels_last)
    try:
        model.train(training)
        with torch.set_grad_enabled(training):
            yield machine
    finally:
        for module, mode in modes.items():
            module.training = mode
        if reformatted:
            model.to(memory_format=torch.contiguous_format)
        if home is not None:
            model.to(home)


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"unknown device {device!r}; known are 'cpu', 'cuda' and 'cuda:N'")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {device!r} is not available: torch sees {torch.cuda.device_count()} CUDA "
            "devices; take 'cpu', or pass the machine to use as machine="
        )


def _check_known(what: str, value: str, known: Mapping[str, Any]) -> None:
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known are {', '.join(known)}")


def _machine_at(device: torch.device) -> Machine:
    return Machine(str(device), name=_name_of(str(device)))


def _name_of(device: str) -> str:
    """Name of the graphics card or the processor, as well as the system tells it."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _is_channels_last(model: nn.Module) -> bool:
    maps = [weight for weight in model.parameters() if weight.ndim == 4]
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in maps)


def _faster_format(machine: Machine, model: nn.Module, inputs: Tensor) -> MemoryFormat:
    """The memory format in which a pass of this model is faster, timed in turns on a copy of it."""
    deadline = time.perf_counter() + MEASURING_SECONDS
    copied = copy.deepcopy(model)  # so that no statistic of the model moves
    seconds: dict[MemoryFormat, list[float]] = {"contiguous": [], "channels_last": []}
    inputs = inputs[:MEASURING_BATCH]
    devices = [torch.device(machine.device)] if machine.on_cuda else []
    with torch.random.fork_rng(devices=devices):
        first = _pass_seconds(machine, copied, inputs[:2])  # also warms up
        if first > MEASURING_SECONDS / 16:  # a large model, or a busy machine: two pictures will do
            inputs = inputs[:2]
        while not seconds["channels_last"] or time.perf_counter() < deadline:
            for memory_format, taken in seconds.items():
                turn = machine.replace(memory_format=memory_format)
                taken.append(_pass_seconds(turn, copied, inputs))
    # The shortest pass is the one that other processes disturbed least.
    plain, changed = min(seconds["contiguous"]), min(seconds["channels_last"])
    return "channels_last" if changed < WORTHWHILE * plain else "contiguous"


def _pass_seconds(machine: Machine, model: nn.Module, inputs: Tensor) -> float:
    """Seconds of one forward pass, with a backward pass where something is trained."""
    training = any(weight.requires_grad for weight in model.parameters())
    with borrowed(model, training=training, machine=machine):
        inputs, _ = machine.place((inputs, torch.zeros(0)))
        started = time.perf_counter()
        with machine.autocast():
            outputs = model(inputs)
        if training:
            outputs = outputs if isinstance(outputs, Tensor) else outputs[-1]
            outputs.float().sum().backward()
            model.zero_grad(set_to_none=True)
        if machine.on_cuda:
            torch.cuda.synchronize(machine.device)
        return time.perf_counter() - started

"""Which device, precision, memory format and threads a run uses, and the one place that moves a model there.

A `Machine` is chosen once for a run, stored in its record and in its checkpoint, and used again
when the run is resumed: a result belongs to the machine that it was computed on.

Taught in chapters 2 and 8.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
MEASURING_SECONDS = 1.6  # what `choose` may spend on timing
WORTHWHILE = 0.95  # a way of computing has to save 5 % of the time before it replaces a plainer one
HOPELESS = 1.5  # a way that takes so many times as long as the best one is not timed again
TURNS = 3  # turns for which there should be time with the pictures of the first round
TRIAL_TURNS = 2  # after so many the hopeless ways leave; the first one is a warm-up
FEW = 8  # below so many pictures a step takes most of its time for something else, which more of them share:
SHARED = 0.5  # the part of its time per picture that each may take among twice as many or more
MOST_TURNS = 20
BUSY = 2  # cores are taken if several threads need so many times as long as one
BUSY_TRIALS = 20  # products of matrices by which that is judged
BUSY_SECONDS = 0.1  # or fewer, if they take longer than this
FEWEST = 2  # pictures in a timed step: batch norm needs two


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
        ValueError: for a device, precision or memory format that is unknown or not available here,
            or less than one thread.

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
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads} is out of range; give at least 1")
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
        """Inputs and targets of a batch on this device; further entries (`meta`) stay behind.

        The program does not wait for a copy to a CUDA device, but it does for one from there to the CPU, which reads it
        at once.
        """
        inputs = batch[0].to(self.device, non_blocking=self.on_cuda)
        if self.memory_format == "channels_last" and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        targets = batch[1]
        if isinstance(targets, list | tuple):
            return inputs, tuple(level.to(self.device, non_blocking=self.on_cuda) for level in targets)
        return inputs, targets.to(self.device, non_blocking=self.on_cuda)

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


def choose(task: tuple[nn.Module, Tensor] | None = None, *, precision: str = "auto") -> Machine:
    """The machine for a run: the CUDA device if there is one, and the fastest way of computing on it.

    Without a task that way is the plain one: full precision, contiguous memory, torch's number of
    threads. With a task, training steps of a copy of the model are timed in turns, for less than two
    seconds in all: at first on as much of the task's own batch as fits into that time, and once the
    hopeless ways are out, the others on more of it:

    - precision: "fp32", and a half precision where the hardware computes in it. On CUDA that is
      "bf16", or "fp16" on cards that only have that one; on a CPU it is "bf16", if it has units for
      it (AVX-512 BF16, AMX, Arm's BF16). Elsewhere it would be emulated, which is slower, and is not
      tried.
    - memory format: both. On a CPU the right one can save a third of the time, and which one that is
      depends on the model.
    - threads on a CPU: torch's number, which is that of the physical cores unless the program was
      given fewer, and one. Threads wait for each other: for a small network one is faster, and
      beside other programs that keep the cores busy it is faster by far. A number that is no use in
      the plain way is not tried in the others.

    What is not the plain way is only taken if it saves 5 % of the time, and a half precision only if
    it saves 5 % against the best full one: half precision changes the result.

    Runs that are to be compared fix everything: `$CLSLAB_DEVICE`, `$CLSLAB_PRECISION`,
    `$CLSLAB_MEMORY_FORMAT` and `$CLSLAB_THREADS` override, and what is set is not tried out. A number
    of threads in `$OMP_NUM_THREADS` also stands.

    Args:
        task: a model as it will be trained, and a batch of its inputs `[B, ...]`. Only batches of
            pictures `[B, C, H, W]` are measured.
        precision: as in a recipe; another one than "auto" is taken as it is, and goes before
            `$CLSLAB_PRECISION`.

    Raises:
        ValueError: if an environment variable names something unknown or not available.

    Taught in chapters 2 and 8.
    """
    device = os.environ.get("CLSLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    fixed: dict[str, Any] = {
        "precision": os.environ.get("CLSLAB_PRECISION") or None,
        "memory_format": os.environ.get("CLSLAB_MEMORY_FORMAT") or None,
        "threads": _threads_from(os.environ.get("CLSLAB_THREADS")),
    }
    if precision != "auto":
        fixed["precision"] = precision
    fixed = {name: value for name, value in fixed.items() if value is not None}
    try:
        plain = Machine(device, **fixed, name=_name_of(device))
    except ValueError as error:
        names = "$CLSLAB_DEVICE, $CLSLAB_PRECISION, $CLSLAB_MEMORY_FORMAT and $CLSLAB_THREADS"
        raise ValueError(f"{error} (see {names})") from error
    if task is None or task[1].ndim != 4 or len(task[1]) == 0:
        return plain
    ways = _ways(plain, fixed)
    if any(way.threads != plain.threads for way in ways) and _threads_get_in_the_way(plain.threads):
        ways = [way for way in ways if way.threads == 1]
    return _fastest(ways, *task) if len(ways) > 1 else ways[0]


@contextlib.contextmanager
def borrowed(model: nn.Module, *, training: bool, machine: Machine | None = None) -> Iterator[Machine]:
    """Take a model to work, and give it back as it was.

    The only place in the library that sets train or eval mode, switches gradients on or off, moves a
    model, and sets the number of torch's threads. When the block ends, also by an error, every
    submodule has its own mode again, the model is on its own device in its own memory format, and
    torch has as many threads as before.

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
    threads = torch.get_num_threads()
    try:
        model.to(machine.device)
        if reformatted:
            model.to(memory_format=torch.channels_last)
        if threads != machine.threads:
            torch.set_num_threads(machine.threads)
        model.train(training)
        with torch.set_grad_enabled(training):
            yield machine
    finally:
        for module, mode in modes.items():
            module.training = mode
        if threads != machine.threads:
            torch.set_num_threads(threads)
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


def _threads_from(value: str | None) -> int | None:
    """A number of threads as an environment variable gives it; `None` for none."""
    if not value:
        return None
    if not value.isdecimal():
        raise ValueError(f"CLSLAB_THREADS is {value!r}; set it to a whole number from 1, or unset it")
    return int(value)


def _ways(plain: Machine, fixed: Mapping[str, Any]) -> list[Machine]:
    """The ways of computing to be timed: the plain one first, others in the order of promise."""
    precisions, formats, threads = [plain.precision], [plain.memory_format], [plain.threads]
    if "precision" not in fixed:
        precisions += _half_precisions(plain)
    if "memory_format" not in fixed:
        formats.append("channels_last")
    if "threads" not in fixed and not os.environ.get("OMP_NUM_THREADS") and not plain.on_cuda and plain.threads > 1:
        threads.append(1)
    return [
        plain.replace(precision=precision, memory_format=memory_format, threads=count)
        for count, precision, memory_format in itertools.product(threads, precisions, formats)
    ]


def _half_precisions(machine: Machine) -> list[Precision]:
    """The half precision that this hardware computes in, if any."""
    if machine.on_cuda:
        with torch.cuda.device(machine.device):
            return ["bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"]
    return ["bf16"] if cpu_has_bf16() else []


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions that multiply bf16, so that nothing is emulated.

    Those of AVX-512 multiply at most twice as fast as in full precision, those for matrices (AMX) many times as fast.

    Taught in chapter 8.
    """
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.11: x86 only
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _fastest(ways: Sequence[Machine], model: nn.Module, inputs: Tensor) -> Machine:
    """The way in which a training step is fastest, timed in turns on a copy of the model."""
    plain = ways[0]
    calm = plain.replace(threads=min(way.threads for way in ways))
    end = time.perf_counter() + MEASURING_SECONDS
    devices = [torch.device(plain.device)] if plain.on_cuda else []
    with torch.random.fork_rng(devices=devices):
        copied = copy.deepcopy(model).to(plain.device)  # so that no statistic of the model moves
        few = inputs[:FEWEST]
        warming = _step_seconds(calm, copied, few)
        if plain.on_cuda:
            # Loading the libraries of CUDA takes seconds, which training then does not have to spend.
            end = time.perf_counter() + MEASURING_SECONDS
        # A step that took long is not made twice just to know how long it takes when it is warm.
        slow = warming > MEASURING_SECONDS / 10
        step = warming if slow else _step_seconds(calm, copied, few)
        share = (end - time.perf_counter()) / (TURNS * len(ways))  # of the time, for one step
        count = min(len(inputs), max(len(few), int(share / step * len(few))))
        seconds = _in_rounds(ways, copied, inputs, count=count, calm=(calm, step / len(few)), end=end)
    return _worthwhile(ways, seconds)


def _threads_get_in_the_way(threads: int) -> bool:
    """Whether the cores are so busy with other programs that several threads are slower than one.

    Then a single training step can take a hundred times as long as it should, so this is found out on
    something smaller.
    """
    before = torch.get_num_threads()
    matrix = torch.ones(256, 256)
    seconds = {1: 0.0, threads: 0.0}
    try:
        for trial in range(BUSY_TRIALS + 1):
            for count in seconds:
                torch.set_num_threads(count)
                started = time.perf_counter()
                matrix @ matrix
                if trial > 0:  # the first one starts the threads
                    seconds[count] += time.perf_counter() - started
            in_the_way = seconds[threads] > BUSY * seconds[1]
            if in_the_way and seconds[threads] > BUSY_SECONDS:
                break
        return in_the_way
    finally:
        torch.set_num_threads(before)


def _in_rounds(
    ways: Sequence[Machine],
    model: nn.Module,
    inputs: Tensor,
    *,
    count: int,
    calm: tuple[Machine, float],
    end: float,
) -> dict[Machine, float]:
    """Seconds per picture in each way that there was time for, at first with `count` pictures in a step.

    A few pictures show which ways are hopeless, and not which of the others is the fastest on a whole batch. So those
    have the time that is left to themselves, with more pictures in a step if that is enough for twice as many. What is
    hopeless is infinitely slow from then on: what few pictures took is not compared with what many take. `calm` is the
    plain way with the fewest threads, and what it took on the fewest pictures.
    """
    found, running = _first_round(ways, model, inputs[:count], calm=calm, end=end)
    if not running:
        return found
    while True:
        running = [way for way in running if found[way] <= HOPELESS * min(found[way] for way in running)]
        expected = {way: found[way] * (SHARED if count < FEW else 1) for way in running}
        more = min(len(inputs), int((end - time.perf_counter()) / (TRIAL_TURNS * sum(expected.values()))))
        if len(running) == 1 or more < 2 * count:
            break
        times, turns = _in_turns(running, model, inputs[:more], expected=expected, end=end, turns=TRIAL_TURNS)
        # One whole turn is enough: every way has been warm before. Without one, what fewer pictures said stands.
        if turns == 0 or min(times.values()) == math.inf:
            break
        found, count = found | times, more
    if len(running) > 1:
        times, _ = _in_turns(running, model, inputs[:count], expected=found, end=end, turns=MOST_TURNS)
        found |= {way: min(seconds, found[way]) for way, seconds in times.items()}
    return {way: found[way] if way in running else math.inf for way in found}


def _first_round(
    ways: Sequence[Machine], model: nn.Module, inputs: Tensor, *, calm: tuple[Machine, float], end: float
) -> tuple[dict[Machine, float], list[Machine]]:
    """Seconds per picture of the ways, and those to go on with; none, if there was no time for all.

    The plain way comes first, with each number of threads. One thread that is not worth it there is not tried in the
    other ways, nor are several that are hopeless there.
    """
    plain, (calmest, each) = ways[0], calm
    by_threads = [way for way in ways if way == plain.replace(threads=way.threads)]
    # On the fewest pictures the way with one thread was timed already, and of a large network that took long.
    known = {calmest: each} if calmest != plain and len(inputs) <= FEWEST else {}
    missing = [way for way in by_threads if way not in known]
    times, _ = _in_turns(missing, model, inputs, expected=dict.fromkeys(missing, each), end=end, turns=TRIAL_TURNS)
    found = known | times
    if len(times) < len(missing):
        return times, []
    enough = {way.threads: found[way] for way in by_threads if found[way] <= HOPELESS * min(found.values())}
    if len(enough) > 1 and enough[1] >= WORTHWHILE * found[plain]:
        del enough[1]
    rest = [way for way in ways if way not in by_threads and way.threads in enough]
    expected = {way: enough[way.threads] if enough[way.threads] < math.inf else each for way in rest}
    times, _ = _in_turns(rest, model, inputs, expected=expected, end=end, turns=TRIAL_TURNS)
    found |= times
    running = [way for way in (*by_threads, *rest) if way.threads in enough]
    return found, running if len(times) == len(rest) else []


def _in_turns(
    ways: Sequence[Machine],
    model: nn.Module,
    inputs: Tensor,
    *,
    expected: Mapping[Machine, float],
    end: float,
    turns: int,
) -> tuple[dict[Machine, float], int]:
    """Seconds per picture in each way that there was time for, and the number of whole turns.

    Of each way the shortest time counts, as other processes disturbed it least. If a way takes longer than expected, so
    may those after it. One for which there is not enough memory is infinitely slow, and not tried again.
    """
    shortest: dict[Machine, float] = {}
    longer = 1.0
    for turn in range(turns):
        for way in ways:
            if shortest.get(way) == math.inf:
                continue
            guess = shortest.get(way, longer * expected[way])
            if time.perf_counter() + guess * len(inputs) > end:
                return shortest, turn
            seconds = _step_seconds(way, model, inputs) / len(inputs)
            if seconds < math.inf:
                longer = max(longer, seconds / expected[way])
            shortest[way] = min(seconds, shortest.get(way, math.inf))
    return shortest, turns


def _worthwhile(ways: Sequence[Machine], seconds: Mapping[Machine, float]) -> Machine:
    """The fastest way, if that is worth leaving the plain one (the first) or full precision."""
    plain = ways[0]
    if plain not in seconds:  # a large model, or a busy machine: not even that one could be timed
        return plain
    full = min((way for way in seconds if way.precision == plain.precision), key=seconds.__getitem__)
    half = min((way for way in seconds if way.precision != plain.precision), key=seconds.__getitem__, default=full)
    if seconds[half] < WORTHWHILE * seconds[full]:
        return half
    return full if seconds[full] < WORTHWHILE * seconds[plain] else plain


def _step_seconds(machine: Machine, model: nn.Module, inputs: Tensor) -> float:
    """Seconds of one forward pass, with a backward pass where something is trained."""
    training = any(weight.requires_grad for weight in model.parameters())
    with borrowed(model, training=training, machine=machine):
        inputs, _ = machine.place((inputs, torch.zeros(0)))
        _wait_for(machine)
        started = time.perf_counter()
        try:
            with machine.autocast():
                outputs = model(inputs)
            if training:
                outputs = outputs if isinstance(outputs, Tensor) else outputs[-1]
                outputs.float().sum().backward()
            _wait_for(machine)
            return time.perf_counter() - started
        except torch.OutOfMemoryError:
            return math.inf  # another way may fit
        finally:
            model.zero_grad(set_to_none=True)


def _wait_for(machine: Machine) -> None:
    if machine.on_cuda:
        torch.cuda.synchronize(machine.device)

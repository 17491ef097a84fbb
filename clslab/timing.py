"""Where the time of a training step goes, and the tables made from recorded benchmarks.

`profile_steps` splits real training steps into five parts: waiting for the data, copying them to the device, forward,
backward and the optimizer's step. The share of waiting says whether feeding the model faster can help, and by how much
at most.

Taught in chapter 8.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import Dataset

from clslab import losses, optim
from clslab.data.loading.wrapper import announce_epoch
from clslab.device import Machine, borrowed
from clslab.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("waiting", "copying", "forward", "backward", "step")
"""The parts of a training step, in their order."""

WORTH_FEEDING = 0.1
"""From this share of waiting on a step is called loader-bound: below it, feeding brings at most a ninth."""

BENCHMARK_COLUMNS = ("benchmark", "comparison", "ratio", "low", "high", "pairs", "aim", "machine", "date", "notes")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StepTimes:
    """What each part of each training step took.

    Attributes:
        seconds: part (one of `PARTS`) -> [S] seconds, one for each of S steps.
        pictures: [S] how many pictures each step had.
        machine: where the steps were computed.
        free_seconds: seconds of S further steps in which nobody waited for the device between the parts; `None` on a
            CPU, where a call returns when its work is done and there is nothing to wait for.

    Taught in chapter 8.

    >>> parts = dict.fromkeys(PARTS, np.array([0.01, 0.01]))
    >>> times = StepTimes({**parts, "waiting": np.array([0.06, 0.06])}, np.array([32, 32]), Machine(threads=1))
    >>> round(times.waiting_share(), 2), times.verdict()
    (0.6, 'loader-bound')
    """

    seconds: Mapping[str, Floats]
    pictures: NDArray[np.int64]
    machine: Machine
    free_seconds: float | None = None

    @property
    def images_per_second(self) -> float:
        """Pictures per second, in the steps without synchronisation where there are any."""
        return float(self.pictures.sum() / self._real_seconds())

    def shares(self) -> dict[str, float]:
        """The share of each part in the time of all steps; they sum to 1.

        On CUDA these are shares of *synchronised* steps, in which nothing overlaps.
        """
        sums = {part: float(taken.sum()) for part, taken in self.seconds.items()}
        total = sum(sums.values())
        return {part: taken / total for part, taken in sums.items()}

    def waiting_share(self) -> float:
        """The share of the time in which the device has nothing to do but wait for data, in [0, 1].

        On a CPU it is the share of the part `waiting`. A CUDA device computes while the program already waits for the
        next batch, so that waiting of the program is not yet waiting of the device. There the share is that part of the
        free-running steps that copying and computing do not account for.
        """
        if self.free_seconds is None:
            return self.shares()["waiting"]
        busy = sum(float(taken.sum()) for part, taken in self.seconds.items() if part != "waiting")
        return max(0.0, 1.0 - busy / self.free_seconds)

    def headroom(self) -> float:
        """How many times as fast the steps could be at most if no step ever waited: 1 / (1 − share of waiting)."""
        return 1.0 / max(1.0 - self.waiting_share(), 1e-9)

    def verdict(self) -> Literal["loader-bound", "model-bound"]:
        """Whether the loader holds the steps up: "loader-bound" from a waiting share of 10 % on."""
        return "loader-bound" if self.waiting_share() >= WORTH_FEEDING else "model-bound"

    def summary(self) -> pd.DataFrame:
        """One row per part: the median in milliseconds and the share of all time."""
        import pandas as pd

        rows = [
            {"part": part, "median (ms)": 1000 * float(np.median(self.seconds[part])), "share": share}
            for part, share in self.shares().items()
        ]
        return pd.DataFrame(rows).set_index("part")

    def describe(self) -> str:
        """The result in one or two lines: steps, waiting, verdict, pictures per second, machine."""
        line = (
            f"{len(self.pictures)} steps on {self.machine.describe()}: {self.waiting_share():.0%} waiting for data, "
            f"{self.verdict()}; {self.images_per_second:,.0f} images/s"
        )
        if self.free_seconds is not None:
            line += (
                "\nThe parts were timed with a wait for the device after each, so that nothing overlaps in them; "
                "images/s and waiting come from as many steps without such waits."
            )
        return line

    def __add__(self, other: StepTimes) -> StepTimes:
        """Both sets of steps as one, for measurements that were taken in turns.

        Raises:
            ValueError: if they were taken on different machines.
        """
        if self.machine != other.machine:
            raise ValueError(
                f"steps on {self.machine.describe()} and on {other.machine.describe()} cannot be added up; "
                "measure both on one machine"
            )
        free = None
        if self.free_seconds is not None and other.free_seconds is not None:
            free = self.free_seconds + other.free_seconds
        seconds = {part: np.concatenate([self.seconds[part], other.seconds[part]]) for part in self.seconds}
        return StepTimes(seconds, np.concatenate([self.pictures, other.pictures]), self.machine, free)

    def _real_seconds(self) -> float:
        if self.free_seconds is not None:
            return self.free_seconds
        return sum(float(taken.sum()) for taken in self.seconds.values())


def profile_steps(
    model: nn.Module,
    loader: Iterable[Any],
    recipe: Recipe | None = None,
    *,
    machine: Machine | None = None,
    steps: int = 20,
    warmup: int = 3,
) -> StepTimes:
    """Train a copy of the model for some steps and time the parts of each.

    A step is what `clslab.train.train_epoch` does with a batch, without its book-keeping: take a batch from the loader
    (waiting), move it to the device (copying), compute outputs and loss (forward), the gradients (backward), and the
    new weights (step, in which the gradients are cleared, too). If the loader ends, it is iterated anew, and what its
    start costs counts as waiting.

    A CUDA device works behind the program's back: a call returns before its work is done. So the clock waits for the
    device after every part. Such steps are slower than real ones, because nothing overlaps any more; as many steps
    without these waits follow, and `StepTimes` takes images/s and the share of waiting from those.

    Args:
        model: it is left as it is; what trains is a copy.
        loader: gives batches `(inputs, targets)`, as for `fit`. Random numbers that it draws from a generator of its
            own are gone; torch's global generators are given back as they were. It is told the epochs, as by `fit`, and
            holds to the last of them: in a loop of your own call its `set_epoch` before you go on.
        recipe: loss, optimizer, clip_norm and precision are read here; `None` for the defaults.
        machine: where to compute; `None` as `clslab.device.borrowed` chooses.
        steps: how many steps are timed.
        warmup: steps before, which are not: first steps allocate memory and start workers.

    Raises:
        ValueError: if `steps` is below 1 or `warmup` below 0, the recipe has SAM, or the loader gives too few batches.

    Taught in chapter 8.

    >>> batches = [(torch.randn(8, 4), torch.arange(8) % 2)] * 3
    >>> times = profile_steps(nn.Linear(4, 2), batches, steps=5, warmup=1)
    >>> list(times.seconds), times.pictures.tolist()
    (['waiting', 'copying', 'forward', 'backward', 'step'], [8, 8, 8, 8, 8])
    """
    if steps < 1 or warmup < 0:
        raise ValueError(f"steps is {steps} and warmup {warmup}; time at least 1 step, after 0 or more others")
    recipe = Recipe() if recipe is None else recipe
    if recipe.sam_rho > 0:
        raise ValueError(
            f"sam_rho = {recipe.sam_rho}: a step with SAM has two forward and two backward passes, and one of each is "
            "timed here; set sam_rho = 0"
        )
    copied = copy.deepcopy(model)
    batches = _endless(loader)
    with borrowed(copied, training=True, machine=machine) as machine:
        if recipe.precision != "auto":
            machine = machine.replace(precision=recipe.precision)
        devices = [torch.device(machine.device)] if machine.on_cuda else []
        with torch.random.fork_rng(devices=devices):
            try:
                return _timed(_Trainee.of(copied, recipe, machine), batches, steps, warmup)
            finally:
                batches.close()  # stops workers and threads before the generators are given back


def speed_up(
    before: StepTimes, after: StepTimes, *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float]:
    """How many times as fast the second measurement is as the first, in pictures per second.

    The interval comes from a bootstrap over the steps of each. It holds what changes from step to step. It does not
    hold what changed on the machine between the two measurements: for a result rather than a look, measure in turns,
    as the scripts in `benchmarks/` do.

    Args:
        before: the measurement that the other one is compared with.
        after: the other one.
        confidence: coverage of the interval.
        resamples: bootstrap resamples.

    Returns:
        The ratio, and the lower and upper end of its interval.

    Raises:
        ValueError: if `confidence` is not between 0 and 1.

    Taught in chapter 8.

    >>> slow, fast = (StepTimes(dict.fromkeys(PARTS, np.full(4, part)), np.full(4, 32), Machine(threads=1))
    ...               for part in (0.02, 0.01))
    >>> speed_up(slow, fast)
    (2.0, 2.0, 2.0)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; pass a fraction between 0 and 1, such as 0.95")
    draw = np.random.default_rng(0)
    relative = np.ones(resamples)
    for times, sign in ((before, -1), (after, 1)):
        taken = np.sum([times.seconds[part] for part in PARTS], axis=0)
        steps = draw.integers(len(taken), size=(resamples, len(taken)))
        rates = times.pictures[steps].sum(axis=1) / taken[steps].sum(axis=1)
        relative *= (rates * taken.sum() / times.pictures.sum()) ** sign
    ratio = after.images_per_second / before.images_per_second
    low, high = np.quantile(relative, [(1 - confidence) / 2, (1 + confidence) / 2])
    return ratio, min(ratio, ratio * float(low)), max(ratio, ratio * float(high))


def _timed(trainee: _Trainee, batches: Iterator[Any], steps: int, warmup: int) -> StepTimes:
    """The warm-up, the steps whose parts are timed, and on CUDA the free-running ones."""
    machine = trainee.machine
    for _ in range(warmup):
        _one_step(trainee, batches, _no_lap)
    watch = _Stopwatch(machine)
    laps: list[dict[str, float]] = []
    pictures = []
    for _ in range(steps):
        watch.start()
        pictures.append(_one_step(trainee, batches, watch.lap))
        laps.append(watch.laps)
    free = None
    if machine.on_cuda:
        watch.start()
        for _ in range(steps):
            _one_step(trainee, batches, _no_lap)
        watch.lap("all")
        free = watch.laps["all"]
    seconds = {part: np.array([taken[part] for taken in laps]) for part in PARTS}
    return StepTimes(seconds, np.array(pictures, dtype=np.int64), machine, free)


# [one-step]
def _one_step(trainee: _Trainee, batches: Iterator[Any], lap: Callable[[str], object]) -> int:
    """One training step; `lap` is called at the end of each part. Returns the number of pictures."""
    batch = next(batches)
    lap("waiting")
    inputs, targets = trainee.machine.place(batch)
    lap("copying")
    with trainee.machine.autocast():
        loss = trainee.criterion(trainee.model(inputs), targets)
    lap("forward")
    trainee.scaler.scale(loss).backward()
    lap("backward")
    trainee.update()
    lap("step")
    return len(inputs)


# [/one-step]


def _no_lap(part: str) -> None:
    """What a step that is not timed does at the end of a part."""


@dataclass(frozen=True)
class _Trainee:
    """A model with what trains it."""

    model: nn.Module
    criterion: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    machine: Machine
    clip_norm: float | None

    @classmethod
    def of(cls, model: nn.Module, recipe: Recipe, machine: Machine) -> _Trainee:
        criterion = losses.create(recipe).to(machine.device)
        scaler = torch.amp.GradScaler(enabled=machine.precision == "fp16")
        model.zero_grad(set_to_none=True)  # gradients that the model came with are no part of the first step
        return cls(model, criterion, optim.create(recipe, model), scaler, machine, recipe.clip_norm)

    def update(self) -> None:
        """Move the weights and clear the gradients."""
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


class _Stopwatch:
    """Seconds of the laps since the start; on CUDA a lap ends when the device has done all that it was told."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last = 0.0
        self.laps: dict[str, float] = {}

    def start(self) -> None:
        self.laps = {}
        self._last = self._now()

    def lap(self, part: str) -> None:
        now = self._now()
        self.laps[part], self._last = now - self._last, now

    def _now(self) -> float:
        if self._machine.on_cuda:
            torch.cuda.synchronize(self._machine.device)
        return time.perf_counter()


def _endless(loader: Iterable[Any]) -> Generator[Any, None, None]:
    """The batches of a loader, epoch after epoch."""
    epoch, total = 0, 0
    while True:
        epoch += 1
        announce_epoch(epoch, loader)
        before = total
        for batch in loader:
            total += 1
            yield batch
        if total == before:
            raise ValueError(
                f"the loader gave {total} batches and then none; give it more, ask for fewer steps, or "
                "pass a loader that can be iterated again"
            )


# ---------------------------------------------------------------------------- simulated slowness


class WaitingDataset(Dataset[Any]):
    """A dataset that comes late: every item costs a wait, as if it came over a slow disk or a network.

    The wait is a sleep and no work, so that a thread or a process that waits does not slow down another one. It is a
    simulation: a real disk answers several readers at once only up to a point, and decoding takes the processor's time.

    Args:
        dataset: where the items come from.
        seconds: how long each of them takes to come.

    Raises:
        ValueError: if `seconds` is negative.

    Taught in chapter 8.

    >>> WaitingDataset([3, 4, 5], seconds=0.001)[1]
    4
    """

    def __init__(self, dataset: Any, *, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds}; an item takes 0 seconds or more to come")
        self.dataset = dataset
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        time.sleep(self.seconds)
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The items of a batch, which the `DataLoader` asks for at once: one wait as long as all of theirs."""
        time.sleep(self.seconds * len(indices))
        return [self.dataset[index] for index in indices]


def occupancy(busy: Sequence[tuple[float, float]], *, every: float, until: float) -> Floats:
    """What a monitor shows of a device: for each sampling period the share in which it was busy.

    Args:
        busy: (start, end) of every stretch of work, in seconds, none overlapping another.
        every: length of a sampling period, in seconds.
        until: when the log ends; it holds `until / every` periods, rounded down.

    Returns:
        A fraction in [0, 1] for each period.

    Raises:
        ValueError: if there is no whole period, or a stretch ends before it starts.

    Taught in chapter 8.

    >>> occupancy([(0, 1), (2, 3), (4, 5), (6, 7)], every=1, until=4).tolist()
    [1.0, 0.0, 1.0, 0.0]
    >>> occupancy([(0, 1), (2, 3), (4, 5), (6, 7)], every=2, until=8).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    if not 0 < every <= until:
        raise ValueError(f"every is {every} and until {until}; the log needs at least one period longer than 0")
    periods = int(until / every + 1e-9)
    starts = every * np.arange(periods)
    filled = np.zeros(periods)
    for start, end in busy:
        if end < start:
            raise ValueError(f"a stretch of work is ({start}, {end}); pass (start, end), the end last")
        filled += np.clip(np.minimum(end, starts + every) - np.maximum(start, starts), 0.0, None)
    return np.clip(filled / every, 0.0, 1.0)


# ---------------------------------------------------------------------------- recorded benchmarks


def benchmark_table(folder: str | Path, names: Sequence[str] | None = None) -> pd.DataFrame:
    """One row for each recorded ratio of the scripts in `benchmarks/`.

    Args:
        folder: where the records `NAME.json`, and those of other kinds of machines, `NAME@KIND.json`, lie,
            `book/results/benchmarks`; it may be missing or empty.
        names: benchmarks to show, in this order, on all kinds of machines; `None` for all, by name. Those without a
            record are passed over.

    Returns:
        Columns `benchmark` (`NAME` or `NAME@KIND`), `comparison`, `ratio`, `low` and `high` (median over pairs and its
        95 % bootstrap interval), `pairs`, `aim` (nan where there is none), `machine`, `date` and `notes`. Without
        records it has no rows, and a record without ratios gives none.

    Raises:
        ValueError: if a file is no record of a benchmark; the message names it.

    Taught in chapter 8.

    >>> len(benchmark_table("no/such/folder"))
    0
    """
    import pandas as pd

    found = {path.stem: path for path in sorted(Path(folder).glob("*.json"))}
    wanted = list(found)
    if names is not None:
        wanted = [stem for name in names for stem in found if stem.partition("@")[0] == name]
    rows = [row for name in wanted for row in _benchmark_rows(found[name])]
    return pd.DataFrame(rows, columns=list(BENCHMARK_COLUMNS))


def _benchmark_rows(path: Path) -> list[dict[str, Any]]:
    name, at, kind = path.stem.partition("@")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return [
            {
                "benchmark": record["benchmark"] + at + kind,
                "comparison": comparison,
                **{column: ratio[field] for column, field in (("ratio", "median"), ("low", "low"), ("high", "high"))},
                "pairs": ratio["pairs"],
                "aim": record["aims"].get(comparison, float("nan")),
                "machine": record["machine"]["described"],
                "date": record["date"],
                "notes": record["notes"],
            }
            for comparison, ratio in record["ratios"].items()
        ]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        again = f"python benchmarks/{name}.py --record {kind}".rstrip()
        raise ValueError(f"{path} is no record of a benchmark ({error!r}); write it anew with: {again}") from error

"""The learning rate range test: raise the rate at every step, and look where the loss falls and where it breaks.

    curve = range_test(model, optimizer, criterion, loader)
    curve.suggest("steepest")

The steps are those of torch-lr-finder's `LRFinder`. Around them: nothing that the test was given is changed by it, it
ends where the loss breaks, and a suggestion is made from a curve that was smoothed without being shifted.

Taught in chapter 7.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.optim import Optimizer

from clslab import distributed
from clslab.checkpoint import random_state, restore_random_state
from clslab.device import Machine, borrowed

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Stopped = Literal["end", "diverged", "not finite"]

FEWEST_POINTS = 10  # from fewer no rule suggests anything
SPIKE = 5  # batches of the running median: what one or two batches in a row say is not believed
RECENT = 3  # batches whose median decides whether the loss has diverged
MARGIN = 2.0  # a suggestion is at most this part of the rate at which the loss broke


class NoSuggestion(ValueError):  # noqa: N818 (named for what happened)
    """A curve on which a rule finds nothing to suggest."""


# [curve]
@dataclass(frozen=True, eq=False)
class LRCurve:
    """The loss of one batch after the other, while the learning rate rises.

    Attributes:
        lrs: [N] learning rates, rising by the same factor at every step.
        losses: [N] the loss of each batch, before the step at that rate.
        stopped: "end" if the test reached its last rate, "diverged" or "not finite" if the loss broke before that (a
            loss that is not finite is left out).
        smoothing: width of the smoothing as a share of the curve, from 0 for none to 0.5.
        smoothed: [N] the losses without spikes and noise: see `smooth`.

    Raises:
        ValueError: if lengths differ, there is no point, rates do not rise, or a number is not finite.

    Taught in chapter 7.

    >>> curve = LRCurve(np.geomspace(1e-4, 10, 50), 4 - np.sin(np.linspace(-2, 3, 50)))
    >>> round(curve.suggest("steepest"), 2), round(curve.suggest("minimum"), 1)
    (0.01, 0.4)
    """

    lrs: Floats
    losses: Floats
    stopped: Stopped = "end"
    smoothing: float = 0.05
    smoothed: Floats = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        lrs, losses = _checked_points(self.lrs, self.losses)
        for name, values in {"lrs": lrs, "losses": losses, "smoothed": smooth(losses, self.smoothing)}.items():
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def suggest(self, rule: str = "steepest") -> float:
        """A learning rate, by one of `RULES`.

        A suggestion is a place to begin a search, not the end of one: compare rules, and seeds.

        Raises:
            NoSuggestion: (a ValueError) if the curve has too few points, never falls, or breaks at once.
            ValueError: for an unknown rule.
        """
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; known are {', '.join(RULES)}")
        return RULES[rule](self)

    @property
    def broke(self) -> float | None:
        """The rate at which the loss broke, `None` if it held: where it rose clearly above its start, or else the last.

        What comes after is not believed. A network with batch norm may find its way back at a rate that threw it off,
        since the jump left it with large weights, which the same rate moves less: the curve has a second valley then,
        often deeper than the first, at rates at which nothing can be trained from the start.
        """
        start = float(np.median(self.losses[:SPIKE]))
        step = np.abs(np.diff(self.losses, prepend=self.losses[0]))
        noise = 1.4826 * float(np.median(step)) / math.sqrt(2)
        risen = np.flatnonzero(_without_spikes(self.losses, RECENT) > start + 4 * noise)
        if risen.size:
            return float(self.lrs[risen[0]])
        return None if self.stopped == "end" else float(self.lrs[-1])

    def to_frame(self) -> pd.DataFrame:
        """One row per batch: `lr`, `loss`, `smoothed`."""
        import pandas as pd

        return pd.DataFrame({"lr": self.lrs, "loss": self.losses, "smoothed": self.smoothed})


# [/curve]


# [smooth]
def smooth(losses: ArrayLike, smoothing: float = 0.05) -> Floats:
    """A curve without its spikes and its noise, none of it shifted.

    A running median takes away what one or two batches in a row say. Then what lies higher above the start than the
    curve ever falls below it is cut off, so that the wall behind the cliff does not bend the valley before it. Then a
    Gaussian window averages to both sides. (The usual exponential average looks back only: it shows every feature of
    the curve too late, which means at too high a learning rate.)

    Args:
        losses: [N].
        smoothing: standard deviation of the window as a share of N, from 0 for none to 0.5.

    Returns:
        [N].

    Raises:
        ValueError: if `smoothing` is out of range.

    Taught in chapter 7.

    >>> smooth([4, 4, 4, 0, 4, 4, 4], smoothing=0.1).tolist()
    [4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    """
    if not 0 <= smoothing <= 0.5:
        raise ValueError(f"smoothing = {smoothing} is out of range; it has to be from 0 (none) to 0.5 of the curve")
    values = np.array(losses, dtype=np.float64)
    start, medians = float(np.median(values[:SPIKE])), _without_spikes(values)
    ceiling = start + max(0.0, start - float(medians.min()))
    cut = np.minimum(medians, ceiling)
    return ndimage.gaussian_filter1d(cut, smoothing * len(values), mode="nearest") if smoothing > 0 else cut


def _without_spikes(losses: Floats, batches: int = SPIKE) -> Floats:
    """The running median of so many batches."""
    return np.asarray(ndimage.median_filter(losses, batches, mode="nearest"))


# [/smooth]


# ---------------------------------------------------------------------------- rules


# [rules]
def steepest(curve: LRCurve) -> float:
    """The rate at which the loss falls fastest, for each factor by which the rate rises.

    The rule that torch-lr-finder and early fastai propose.
    """
    valley = _valley_of(curve)
    slope = np.gradient(curve.smoothed, np.log(curve.lrs))
    place = valley.start + int(slope[valley.start : valley.stop].argmin())
    if place == len(curve.lrs) - 1:
        raise NoSuggestion(f"the loss falls fastest at the last rate, {curve.lrs[-1]:g}; raise end")
    return float(curve.lrs[place])


def middle_of_valley(curve: LRCurve) -> float:
    """The middle, on the log axis, of the longest series of points each lower than the one before it.

    Points between them may lie higher. The rule "valley" of fastai, where it is the default.
    """
    valley = _valley_of(curve)
    losses = curve.smoothed[valley]
    length, first = np.ones(len(losses), dtype=int), np.arange(len(losses))
    for point in range(1, len(losses)):
        higher = np.flatnonzero(losses[:point] > losses[point])
        if higher.size:
            before = higher[length[higher].argmax()]
            length[point], first[point] = length[before] + 1, first[before]
    last = int(length.argmax())
    lrs = curve.lrs[valley]
    return float(math.sqrt(lrs[first[last]] * lrs[last]))


def minimum(curve: LRCurve) -> float:
    """The rate with the lowest loss. Here to be compared with: it stands where the loss is about to rise."""
    bottom = _valley_of(curve).stop - 1
    if bottom == len(curve.lrs) - 1:
        raise NoSuggestion(
            f"the loss still falls at the last rate, {curve.lrs[-1]:g}: its minimum is unseen; raise end"
        )
    return float(curve.lrs[bottom])


def tenth_of_minimum(curve: LRCurve) -> float:
    """A tenth of the rate with the lowest loss, a rule of thumb of fastai's course."""
    return minimum(curve) / 10


# [/rules]

RULES: dict[str, Callable[[LRCurve], float]] = {
    "steepest": steepest,
    "valley": middle_of_valley,
    "minimum/10": tenth_of_minimum,
    "minimum": minimum,
}
"""What a curve can be asked for. "minimum" is the one not to use."""


def _valley_of(curve: LRCurve) -> slice:
    """From the highest point before the lowest one to that lowest one, no nearer to the break than allowed.

    Raises:
        NoSuggestion: if there is no valley to speak of.
    """
    if len(curve.lrs) < FEWEST_POINTS:
        raise NoSuggestion(
            f"{len(curve.lrs)} points, and it takes {FEWEST_POINTS} to suggest anything: give more steps"
            + ("" if curve.stopped == "end" else f" or a smaller start (the loss broke at {curve.lrs[-1]:g})")
        )
    broke = curve.broke
    allowed = curve.smoothed if broke is None else curve.smoothed[curve.lrs <= broke / MARGIN]
    if len(allowed) < 2:
        raise NoSuggestion(f"the loss broke at {broke:g}, right after the start; take a smaller start")
    bottom = int(allowed.argmin())
    top = int(allowed[: bottom + 1].argmax())
    fall = float(allowed[top] - allowed[bottom])
    # What the batches differ by before the loss breaks, and how deep a fall that noise alone would feign on a curve
    # that is smoothed: six standard deviations of the mean of a window are rarely reached (tried on curves of noise).
    noise = 1.4826 * float(np.median(np.abs(curve.losses - curve.smoothed)[: bottom + 1]))
    window = 2 * math.sqrt(math.pi) * max(1.0, curve.smoothing * len(curve.losses))
    if fall <= 6 * noise / math.sqrt(window):
        raise NoSuggestion(
            f"the loss falls by {fall:.2g} at most, and one batch differs from the next by {noise:.2g}: no rate stands "
            "out; take a wider range, more steps or larger batches"
        )
    return slice(top, bottom + 1)


# ---------------------------------------------------------------------------- several seeds


@dataclass(frozen=True)
class Spread:
    """Range tests of one recipe that differ by their seed alone.

    Attributes:
        curves: by seed.

    Taught in chapter 7.
    """

    curves: Mapping[int, LRCurve]

    def suggestions(self, rule: str = "steepest") -> dict[int, float]:
        """What a rule suggests, by seed; NaN where it suggests nothing.

        Raises:
            ValueError: for an unknown rule.
        """
        return {seed: _or_nan(curve, rule) for seed, curve in self.curves.items()}

    def median(self, rule: str = "steepest") -> float:
        """The median of the suggestions.

        Raises:
            NoSuggestion: if no seed has one.
        """
        found = [lr for lr in self.suggestions(rule).values() if math.isfinite(lr)]
        if not found:
            raise NoSuggestion(f"rule {rule!r} suggests nothing on any of {len(self.curves)} curves; look at them")
        # Of an even number the mean of the middle two on the log axis: rates are compared by factors.
        return float(np.exp(np.median(np.log(found))))

    def to_frame(self) -> pd.DataFrame:
        """One row per rule: `median`, `lowest`, `highest`, `factor` (highest over lowest) and `seeds` that have one."""
        import pandas as pd

        rows = {}
        for rule in RULES:
            found = np.array([lr for lr in self.suggestions(rule).values() if math.isfinite(lr)])
            if found.size:
                low, high = float(found.min()), float(found.max())
                rows[rule] = [self.median(rule), low, high, high / low, found.size]
            else:
                rows[rule] = [math.nan] * 4 + [0]
        columns = ["median", "lowest", "highest", "factor", "seeds"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype({"seeds": int})


def _or_nan(curve: LRCurve, rule: str) -> float:
    try:
        return curve.suggest(rule)
    except NoSuggestion:
        return math.nan


def range_tests(make: Callable[[int], Sequence[Any]], seeds: Iterable[int], **options: Any) -> Spread:
    """A range test for each of several seeds.

    Args:
        make: called with a seed; gives model, optimizer, criterion and loader of that seed.
        seeds: each is used once.
        options: as for `range_test`.

    Raises:
        ValueError: if there is no seed, or as `range_test`.

    Taught in chapter 7.
    """
    curves = {}
    for seed in seeds:
        model, optimizer, criterion, loader = make(seed)
        curves[seed] = range_test(model, optimizer, criterion, loader, **options)
    if not curves:
        raise ValueError("no seed to test with; give at least one, five show the spread")
    return Spread(curves)


# ---------------------------------------------------------------------------- the test


def range_test(
    model: nn.Module,
    optimizer: Optimizer,
    criterion: Callable[[Any, Any], Tensor],
    loader: Iterable[Any],
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.05,
    divergence: float = 5.0,
    machine: Machine | None = None,
) -> LRCurve:
    """The loss while the learning rate rises from `start` to `end`, by the same factor at every step.

    A copy of the model is trained, with a copy of the optimizer. Model, gradients, optimizer, modes, random numbers
    and the order in which the loader will shuffle next are afterwards what they were, however the test ends. (Only what
    `criterion` holds by a closure is not copied; give a module if it has weights of its own.)

    Args:
        model: as `clslab.train.fit` takes it, fresh or trained before.
        optimizer: over the model's parameters; all its groups get the same rate. A scheduler attached to it rests.
            Of SAM the base optimizer is tested: the loss at the weights, at half the price of SAM's steps.
        criterion: the mean loss of outputs and targets.
        loader: gives batches `(inputs, targets)`; one shorter than `steps` is started again. Give it the batch size
            that you will train with: the best rate depends on it.
        start: the first learning rate.
        end: the last one.
        steps: batches, at least 10. From 1e-7 to 10, a hundred are twelve for each factor of ten.
        smoothing: as in `LRCurve`.
        divergence: the test ends when the loss, the median of the last three batches, is above this many times the
            lowest so far, and above where it started.
        machine: where to compute; `None` as `clslab.device.borrowed` chooses.

    Raises:
        ValueError: if a setting is out of range, the loader is empty or cannot be started again, the model cannot be
            copied, the loss of the first batch is not finite, or there are several processes.

    Source: Smith (arXiv:1506.01186). Taught in chapter 7.
    """
    _check_settings(start, end, steps, smoothing, divergence)
    optimizer = getattr(optimizer, "base_optimizer", optimizer)
    with _as_it_was(loader):
        model, optimizer, criterion = _copied(model, optimizer, criterion)
        with borrowed(model, training=True, machine=machine) as machine:
            if isinstance(criterion, nn.Module):
                criterion.to(machine.device)
            optimizer.load_state_dict(optimizer.state_dict())  # its state follows the weights to their device
            climb = _Climb(model, optimizer, criterion, machine, divergence)
            stopped = _driven(climb, loader, start, end, steps)
    if not climb.losses:
        raise ValueError(
            f"the loss of the first batch is not finite at learning rate {start:g}: before any step, so the inputs or "
            "the weights are at fault; check them for values that are not finite"
        )
    return LRCurve(np.array(climb.lrs), np.array(climb.losses), stopped, smoothing)


class _Ended(Exception):  # noqa: N818 (a state of affairs, like StopIteration)
    """The loss broke, so no further step is taken."""

    def __init__(self, why: Stopped) -> None:
        super().__init__(why)
        self.why: Stopped = why


# [climb]
class _Climb:
    """One training step after the other, and the loss of each."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Callable[[Any, Any], Tensor],
        machine: Machine,
        divergence: float,
    ) -> None:
        self.model, self.optimizer, self.criterion, self.machine = model, optimizer, criterion, machine
        self.divergence = divergence
        self.scaler = torch.amp.GradScaler(machine.device.split(":")[0], enabled=machine.precision == "fp16")
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._recent: list[float] = []

    def step(self, batches: Iterator[Any], *_: Any, **__: Any) -> float:
        """Train on the next batch, at the rate that the optimizer has now; the loss before the step."""
        inputs, targets = self.machine.place(next(batches))
        self.optimizer.zero_grad(set_to_none=True)
        with self.machine.autocast():
            loss = self.criterion(self.model(inputs), targets)
        self._look(float(loss.detach()))
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.losses[-1]

    def _look(self, loss: float) -> None:
        """Note the loss, and end the test if it broke."""
        if not math.isfinite(loss):
            raise _Ended("not finite")
        self.lrs.append(float(self.optimizer.param_groups[0]["lr"]))
        self.losses.append(loss)
        if len(self.losses) < RECENT:
            return
        self._recent.append(float(np.median(self.losses[-RECENT:])))
        started, lowest = self._recent[0], min(self._recent)
        if self._recent[-1] > max(started, self.divergence * lowest):
            raise _Ended("diverged")


# [/climb]


def _driven(climb: _Climb, loader: Iterable[Any], start: float, end: float, steps: int) -> Stopped:
    """Let torch-lr-finder raise the rate and take the steps, as long as the loss holds."""
    library = _library()
    finder = library.LRFinder(climb.model, climb.optimizer, climb.criterion, device=climb.machine.device)
    # Its own step looks at no loss, knows no precision but torch's, and takes no batch with `meta` in it.
    finder._train_batch = climb.step
    try:
        with closing(_round_and_round(loader)) as batches, _quiet(library), warnings.catch_warnings():
            # With fp16 the scaler may skip the first step, and the scheduler then believes that it was forgotten.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step", category=UserWarning)
            # Its smoothing and its stopping are off: the one lags, and the other does not see NaN.
            settings = {"start_lr": start, "end_lr": end, "num_iter": steps, "smooth_f": 0, "diverge_th": math.inf}
            finder.range_test(library.TrainDataLoaderIter(batches), **settings)
    except _Ended as ended:
        return ended.why
    return "end"


def _library() -> Any:
    """torch-lr-finder's module. Importing it imports pyplot and a progress bar for notebooks, so it waits until now."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch_lr_finder")  # tqdm's, about the bar that is never shown
        warnings.filterwarnings("ignore", message="IProgress not found")
        from torch_lr_finder import lr_finder
    return lr_finder


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without its progress bar, which no setting turns off, and without the two lines that it prints."""
    bar = library.tqdm
    library.tqdm, library.print = (lambda steps: steps), (lambda *_: None)
    try:
        yield
    finally:
        library.tqdm = bar
        del library.print  # a name of the module that hid the built-in one


def _round_and_round(loader: Iterable[Any]) -> Generator[Any]:
    """The batches of a loader, from the beginning again when they end."""
    given = 0
    while True:
        before = given
        for batch in loader:
            given += 1
            yield batch
        if given == 0:
            raise ValueError("the loader gave no batch; give it at least one item, and mind drop_last")
        if given == before:
            raise ValueError(
                f"the loader gave {given} batches and cannot be started again; give a loader that can, such as a "
                "DataLoader or a list of batches, or fewer steps"
            )


@contextmanager
def _as_it_was(loader: Iterable[Any]) -> Iterator[None]:
    """Give random numbers back as they were, and the order that the loader shuffles in next."""
    parts = list(distributed.parts_of_loader(loader))
    generators = [part.generator for part in parts if isinstance(getattr(part, "generator", None), torch.Generator)]
    states = [generator.get_state() for generator in generators]
    epochs = [(part, part.epoch) for part in parts if isinstance(getattr(part, "epoch", None), int)]
    everywhere = random_state()
    try:
        yield
    finally:
        restore_random_state(everywhere)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        for part, epoch in epochs:
            part.epoch = epoch


def _copied(
    model: nn.Module, optimizer: Optimizer, criterion: Callable[[Any, Any], Tensor]
) -> tuple[nn.Module, Optimizer, Callable[[Any, Any], Tensor]]:
    """Copies that belong together: the new optimizer moves the new weights.

    Raises:
        ValueError: if the optimizer moves none of the model's weights, or there is something that cannot be copied.
    """
    weights = {id(weight) for weight in model.parameters() if weight.requires_grad}
    if not weights & {id(weight) for group in optimizer.param_groups for weight in group["params"]}:
        raise ValueError("the optimizer has none of the model's trained parameters; make it from model.parameters()")
    try:
        model, optimizer, criterion = copy.deepcopy((model, optimizer, criterion))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"the model, the optimizer or the criterion cannot be copied ({error}); the test trains a copy, so that it "
            "leaves them as they are"
        ) from error
    for group in optimizer.param_groups:
        group.pop("initial_lr", None)  # what a scheduler left there; the scheduler itself stayed with the original
    return model, optimizer, criterion


def _check_settings(start: float, end: float, steps: int, smoothing: float, divergence: float) -> None:
    if not 0 < start < end < math.inf:
        raise ValueError(f"start = {start} and end = {end}: rates have to be above 0, finite, and start below end")
    if steps < FEWEST_POINTS:
        raise ValueError(f"steps = {steps} are too few for a curve; give at least {FEWEST_POINTS}, better 100")
    if not divergence > 1:
        raise ValueError(f"divergence = {divergence} has to be above 1, as a multiple of the lowest loss")
    smooth(np.zeros(1), smoothing)  # says what is wrong before the time is spent
    if distributed.world().world_size > 1:
        raise ValueError("a range test runs in one process; start it without torchrun, with the whole batch size")


def _checked_points(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    rates, values = np.array(lrs, dtype=np.float64), np.array(losses, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != values.shape or rates.size == 0:
        raise ValueError(f"lrs {rates.shape} and losses {values.shape}: give one loss for each learning rate")
    if not (np.isfinite(rates).all() and np.isfinite(values).all()):
        raise ValueError("lrs or losses hold a value that is not finite; a curve ends before the first such loss")
    if rates[0] <= 0 or (np.diff(rates) <= 0).any():
        raise ValueError("lrs have to be above 0 and to rise from step to step")
    return rates, values

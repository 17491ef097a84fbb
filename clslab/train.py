"""The loop: train on batches, evaluate with counts, keep the best weights.

Three functions are enough for every chapter: `fit`, `evaluate` and `predict`. All three borrow the
model (`clslab.device.borrowed`): they put it in the right mode and on the right device, and give it
back as they found it. Scores are sums and counts over all items, never averages of batch averages.

In a program that torchrun started as several processes (`clslab.distributed.joined`), all three are called in each of
them and give each the same result. Training and evaluation then want loaders that give each process its own part.

Taught in chapter 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from clslab import distributed
from clslab.checkpoint import Stateful, read_checkpoint
from clslab.device import Machine, Precision, Targets, borrowed, choose
from clslab.optim import SAM, frozen_statistics
from clslab.recipe import Recipe
from clslab.training_log import Log, Reports
from clslab.training_state import EMPTY_LOADER, DivergenceWatch, History, TrainingDiverged, TrainingState

__all__ = [
    "Evaluation",
    "History",
    "Log",
    "Tally",
    "TrainingDiverged",
    "evaluate",
    "fit",
    "predict",
    "train_epoch",
]


# [evaluation]
@dataclass(frozen=True)
class Evaluation:
    """Counts over a set of items; two of them add up to that of both sets.

    Attributes:
        correct: items whose most probable class is the target.
        count: items.
        loss_sum: sum of their losses.

    Taught in chapter 2.

    >>> both = Evaluation(3, 4, 2.0) + Evaluation(0, 1, 3.0)
    >>> both.accuracy, both.loss
    (0.6, 1.0)
    """

    correct: int
    count: int
    loss_sum: float

    @property
    def accuracy(self) -> float:
        """Share of items that are correct."""
        return self.correct / self.count

    @property
    def loss(self) -> float:
        """Mean loss of an item."""
        return self.loss_sum / self.count

    def __add__(self, other: Evaluation) -> Evaluation:
        return Evaluation(
            self.correct + other.correct,
            self.count + other.count,
            self.loss_sum + other.loss_sum,
        )


# [/evaluation]


# [evaluate]
def evaluate(
    model: nn.Module, loader: Iterable[Any], *, machine: Machine | None = None
) -> Evaluation | list[Evaluation]:
    """Accuracy and cross-entropy of a model over all items of a loader.

    Args:
        model: gives logits `[B, C]`, or log-probabilities (their cross-entropy is the same), or a
            tuple of them, one per level of labels.
        loader: gives batches `(inputs, targets)`; targets are classes `[B]`, probabilities `[B, C]`
            or, for a model with L outputs, classes `[B, L]`.
        machine: where to compute; `None` as `clslab.device.borrowed` chooses.

    Returns:
        One evaluation, or for a model with several outputs one per level, the finest last.

    Raises:
        ValueError: if the loader is empty, or outputs and targets do not fit.

    Taught in chapter 2.
    """
    tally = Tally(loader)
    with borrowed(model, training=False, machine=machine) as machine:
        for batch in loader:
            inputs, targets = machine.place(batch)
            with machine.autocast():
                outputs = model(inputs)
            tally.add(outputs, targets)
    return tally.evaluations()


# [/evaluate]


def predict(model: nn.Module, loader: Iterable[Any], *, machine: Machine | None = None) -> tuple[Targets, Targets]:
    """Class probabilities of every item of a loader, and the targets, in the loader's order.

    Args:
        model: as for `evaluate`.
        loader: as for `evaluate`.
        machine: as for `evaluate`.

    Returns:
        Probabilities `[N, C]` (float32) and targets `[N]`, on the CPU; for a model with several
        outputs a tuple of each, one per level.

    Raises:
        ValueError: if the loader is empty, or outputs and targets do not fit.

    Taught in chapter 2.
    """
    answers: list[tuple[bool, list[tuple[Tensor, Tensor]]]] = []
    with borrowed(model, training=False, machine=machine) as machine:
        for batch in loader:
            inputs, targets = machine.place(batch)
            with machine.autocast():
                outputs = model(inputs)
            of_levels = [
                (logits.float().softmax(dim=1).cpu(), target.cpu()) for logits, target in _levels(outputs, targets)
            ]
            answers.append((not isinstance(outputs, Tensor), of_levels))
    answers = distributed.undivided(answers, loader)
    if not answers:
        raise ValueError(EMPTY_LOADER)
    several = answers[0][0]
    levels = [list(zip(*level, strict=True)) for level in zip(*(batch for _, batch in answers), strict=True)]
    probabilities = tuple(torch.cat(of_level[0]) for of_level in levels)
    targets_by_level = tuple(torch.cat(of_level[1]) for of_level in levels)
    if several:
        return probabilities, targets_by_level
    return probabilities[0], targets_by_level[0]


# [train-epoch]
def train_epoch(state: TrainingState, loader: Iterable[Any], epoch: int) -> Evaluation:
    """One pass over the training batches. The counts are taken while the weights change.

    Args:
        state: the model with what trains it.
        loader: gives batches `(inputs, targets)`.
        epoch: its number, for the error message.

    Returns:
        Accuracy and loss of the batches, each at the moment when it was trained on; of a model with
        several outputs those of the last, the finest level.

    Raises:
        TrainingDiverged: if a loss is infinite or not a number.
        ValueError: if the loader is empty, or a batch is too small for batch norm.

    Taught in chapter 2.
    """
    tally, watch = Tally(loader), DivergenceWatch(epoch, state.machine)
    for step, batch in enumerate(loader):
        inputs, targets = state.machine.place(batch)
        state.optimizer.zero_grad(set_to_none=True)
        with state.machine.autocast(), state.first_draws():
            outputs = _forward(state.network, inputs)
            loss = state.criterion(outputs, targets)
        watch.look(loss, state.optimizer)
        state.scaler.scale(state.weighed(loss, len(inputs), step)).backward()  # the scale is 1 but for fp16
        if isinstance(state.optimizer, SAM):
            _second_pass(state, inputs, targets, state.optimizer, step)
        if state.recipe.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            clip_grad_norm_(state.model.parameters(), state.recipe.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.advance_schedule("step")  # after the optimizer, never before
        state.update_average()
        tally.add(outputs, targets, loss)
    watch.check()
    state.advance_schedule("epoch")
    return _finest(tally.evaluations())


# [/train-epoch]


# [second-pass]
def _second_pass(state: TrainingState, inputs: Tensor, targets: Targets, optimizer: SAM, step: int) -> None:
    """Put the gradients at the top of SAM's climb in the place of those of the first pass; the weights return.

    Same batch, same random draws, and batch norm does not count it. What follows in the loop (clipping, the scaler's
    unscaling, the step) sees these gradients only.
    """
    with optimizer.uphill(), frozen_statistics(state.model):
        with state.machine.autocast():
            loss = state.criterion(_forward(state.network, inputs), targets)
        state.scaler.scale(state.weighed(loss, len(inputs), step)).backward()


# [/second-pass]


def fit(
    model: nn.Module,
    train: Iterable[Any],
    val: Iterable[Any] | None,
    recipe: Recipe,
    *,
    criterion: Callable[[Any, Any], Tensor] | None = None,
    optimizer: Optimizer | None = None,
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    resume: str | Path | None = None,
    machine: Machine | None = None,
    log: str | Path | Log | None = None,
    checkpoint: str | Path | None = None,
    patience: int | None = None,
    tensorboard: str | Path | None = None,
    progress: bool = False,
    also: Mapping[str, Stateful] | None = None,
) -> History:
    """Train the parameters of a model that require a gradient, and leave it with its best weights.

    After each epoch the model is evaluated on `val`; at the end it has the weights of the best epoch, of equal ones the
    first (with `ema` their average over the steps). Ctrl-C ends and keeps them. A best accuracy so chosen is too good.

    Args:
        model: trained in place; its modes and device are given back as they were.
        train: gives batches `(inputs, targets)`, as for `evaluate`.
        val: likewise; `None` for no validation, the last weights are then kept.
        recipe: epochs, loss, optimizer, schedule, sam_rho, sam_adaptive, ema, clip_norm and precision are read here.
        criterion: the mean loss of outputs and targets; built from the recipe unless given.
        optimizer: built from the recipe unless given.
        on_epoch: called with the record of each epoch (in every process).
        resume: a checkpoint; the run goes on as if it had never stopped.
        machine: where to compute; `None` for that of `resume`, or else `clslab.device.choose()`.
        log: a file that every printed line is appended to; or an open `Log`.
        checkpoint: a file to write after each epoch.
        patience: stop after this many epochs without a better validation accuracy.
        tensorboard: a folder for TensorBoard.
        progress: show a bar that counts epochs.
        also: further parts that the checkpoint keeps and `resume` sets, by name.

    Returns:
        The history of all epochs, those before a resume included.

    Raises:
        TrainingDiverged: if the loss is infinite or not a number.
        FileNotFoundError: if there is no checkpoint to resume from.
        ValueError: if a setting, a loader (empty, not divided over the processes), a batch or the checkpoint is wrong.

    Taught in chapter 2.
    """
    _check_patience(patience, val)
    machine = _machine_for(machine, recipe, resume)
    reports = Reports(log, tensorboard, progress=progress, epochs=recipe.epochs)
    with reports, borrowed(model, training=True, machine=machine):
        state = TrainingState.start(model, train, recipe, machine, criterion, optimizer)
        state.checkpoint.parts |= also or {}
        if resume is not None:
            state.checkpoint.load(resume)
        _train_epochs(state, train, val, patience, reports, on_epoch, checkpoint)
    return state.history


# [fit]
def _train_epochs(
    state: TrainingState,
    train: Iterable[Any],
    val: Iterable[Any] | None,
    patience: int | None,
    reports: Reports,
    on_epoch: Callable[[dict[str, Any]], object] | None,
    checkpoint: str | Path | None,
) -> None:
    """Epoch after epoch, until all are done, patience is out or Ctrl-C; the model is left with its best weights."""
    try:
        for epoch in state.epochs(patience):
            record = _one_epoch(state, train, val, epoch)
            state.end_epoch(record)
            reports.epoch(record)
            if on_epoch is not None:
                on_epoch(record)
            if checkpoint is not None:
                state.checkpoint.save(checkpoint)
    except KeyboardInterrupt:
        state.interrupt()
    finally:
        state.leave_best()


# [/fit]


def _one_epoch(state: TrainingState, train: Iterable[Any], val: Iterable[Any] | None, epoch: int) -> dict[str, Any]:
    """Train for an epoch, evaluate, and say what came of it."""
    started, lr = time.perf_counter(), state.optimizer.param_groups[0]["lr"]
    _announce_epoch(train, epoch)
    learnt = train_epoch(state, train, epoch)
    state.average_statistics()
    checked = None if val is None else _finest(evaluate(state.evaluated, val, machine=state.machine))
    return {
        "epoch": epoch,
        "lr": lr,
        "train_loss": learnt.loss,
        "train_accuracy": learnt.accuracy,
        "val_loss": None if checked is None else checked.loss,
        "val_accuracy": None if checked is None else checked.accuracy,
        "seconds": time.perf_counter() - started,
    }


# [tally]
class Tally:
    """Counts over batches, one row per level of labels, kept on the device.

    Nothing is read back before the end, so that a CUDA device never waits for the answer.

    Args:
        loader: where the batches come from; if it gives several processes a part each, their counts are added up.
    """

    def __init__(self, loader: Iterable[Any] = ()) -> None:
        self._divided = distributed.is_divided(loader)
        self._sums: list[tuple[Tensor, int, Tensor]] = []
        self._several = False

    def add(self, outputs: Any, targets: Targets, loss: Tensor | None = None) -> None:
        """Count a batch; `loss`, a mean over the batch, is used in place of the cross-entropy."""
        self._several = not isinstance(outputs, Tensor)
        sums = []
        with torch.no_grad():
            for logits, target in _levels(outputs, targets):
                classes = target.argmax(dim=1) if target.is_floating_point() else target
                correct = (logits.argmax(dim=1) == classes).sum()
                if loss is None:
                    lost = F.cross_entropy(logits.float(), target, reduction="sum").double()
                else:
                    lost = loss.detach().double() * len(logits)
                sums.append((correct, len(logits), lost))
        if self._sums:
            sums = [
                (correct + more_correct, count + more_count, lost + more_lost)
                for (correct, count, lost), (more_correct, more_count, more_lost) in zip(self._sums, sums, strict=True)
            ]
        self._sums = sums

    def evaluations(self) -> Evaluation | list[Evaluation]:
        """The counts so far.

        Raises:
            ValueError: if there was no batch.
        """
        levels = [Evaluation(int(correct), count, float(lost)) for correct, count, lost in self._sums]
        several = self._several
        if self._divided:
            parts = [part for part in distributed.gather((levels, several)) if part[0]]  # a small set may have no part
            levels = [sum(level[1:], level[0]) for level in zip(*(part[0] for part in parts), strict=True)]
            several = any(part[1] for part in parts)
        if not levels:
            raise ValueError(EMPTY_LOADER)
        return levels if several else levels[0]


# [/tally]


def _levels(outputs: Any, targets: Targets) -> list[tuple[Tensor, Tensor]]:
    """Pairs of logits and targets, one per level of labels; one pair for plain labels."""
    if isinstance(outputs, Tensor):
        if not isinstance(targets, Tensor):
            raise ValueError(f"the model gives one output and the targets have {len(targets)} levels; choose one")
        if targets.ndim == 2 and not targets.is_floating_point():
            raise ValueError(
                f"the model gives one output and the targets are {tuple(targets.shape)}: "
                f"{targets.shape[1]} levels; choose one, targets[:, -1] is the finest"
            )
        return [(outputs, targets)]
    if isinstance(targets, Tensor):
        targets = targets.unbind(dim=1)
    if len(outputs) != len(targets):
        raise ValueError(f"the model gives {len(outputs)} outputs and the targets have {len(targets)} levels")
    return list(zip(outputs, targets, strict=True))


def _finest(evaluations: Evaluation | list[Evaluation]) -> Evaluation:
    return evaluations[-1] if isinstance(evaluations, list) else evaluations


def _forward(model: nn.Module, inputs: Tensor) -> Any:
    """The outputs of a training step, with a clear word where batch norm cannot have one."""
    try:
        return model(inputs)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"a training batch of {len(inputs)} is too small for batch norm, which needs at least "
            "two values per channel; give the loader drop_last=True, or a batch_size that does not "
            "leave one item over"
        ) from error


def _announce_epoch(loader: Iterable[Any], epoch: int) -> None:
    """Tell loaders and samplers that shuffle by the number of the epoch which one this is."""
    for part in distributed.parts_of_loader(loader):
        set_epoch = getattr(part, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)


def _check_patience(patience: int | None, val: Iterable[Any] | None) -> None:
    if patience is not None and patience < 1:
        raise ValueError(f"patience = {patience} has to be at least 1 epoch, or None")
    if patience is not None and val is None:
        raise ValueError("patience needs a validation set: give val, or leave patience out")


def _machine_for(machine: Machine | None, recipe: Recipe, resume: str | Path | None) -> Machine:
    """The machine that is given, or that of the checkpoint, or the one that `choose` finds."""
    if machine is None and resume is not None:
        machine = Machine.from_dict(read_checkpoint(resume)["machine"])
    machine = distributed.agreed(choose()) if machine is None else machine
    if recipe.precision == "auto":
        return machine
    return machine.replace(precision=cast(Precision, recipe.precision))

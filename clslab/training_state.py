"""What a training run carries from one epoch to the next: the optimizer, the best weights, the history.

The loop itself is in `clslab.train`.

Taught in chapter 2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clslab import distributed, losses, optim, schedule
from clslab.averaging import WeightAverage
from clslab.checkpoint import Checkpoint, Stateful
from clslab.device import Machine
from clslab.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

EMPTY_LOADER = (
    "the loader gave no batch, so there is nothing to count; give it at least one item, and mind "
    "that drop_last=True drops a set that is smaller than a batch"
)

# How often the loss is looked at. On a CPU that costs nothing; a CUDA device would have to wait.
_STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 100}


class TrainingDiverged(ValueError):  # noqa: N818 (a state of affairs, like StopIteration)
    """The loss became infinite or not a number.

    Attributes:
        step: optimizer step within the epoch, counted from 1.
        epoch: counted from 1.
        lr: learning rate of that step.
        loss: the loss.
    """

    def __init__(self, step: int, epoch: int, lr: float, loss: float) -> None:
        super().__init__(
            f"the loss is {loss} at step {step} of epoch {epoch}, at learning rate {lr:g}; take a "
            "smaller lr, a longer warmup or a clip_norm, and check the inputs for values that are "
            "not finite"
        )
        self.step, self.epoch, self.lr, self.loss = step, epoch, lr, loss

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step, self.epoch, self.lr, self.loss)


class DivergenceWatch:
    """Looks at the loss: at each step on a CPU, and every hundred steps and at the end on CUDA."""

    def __init__(self, epoch: int, machine: Machine) -> None:
        self.epoch = epoch
        self._between = _STEPS_BETWEEN_CHECKS[machine.device.split(":")[0]]
        self._unseen: list[tuple[int, float, Tensor]] = []
        self._step = 0

    def look(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Take note of the loss of a step.

        Raises:
            TrainingDiverged: if a loss that is looked at now is not finite.
        """
        self._step += 1
        self._unseen.append((self._step, optimizer.param_groups[0]["lr"], loss.detach()))
        if len(self._unseen) >= self._between:
            self.check()

    def check(self) -> None:
        """Look at every loss that was not looked at yet.

        Raises:
            TrainingDiverged: for the first that is not finite.
        """
        unseen, self._unseen = self._unseen, []
        values = torch.stack([loss for _, _, loss in unseen]).tolist() if unseen else []
        for (step, lr, _), value in zip(unseen, values, strict=True):
            if not math.isfinite(value):
                raise TrainingDiverged(step, self.epoch, lr, value)


@dataclass
class History:
    """What happened in each epoch of a fit.

    Attributes:
        records: one dict per epoch: `epoch` (from 1), `lr` of its first step, `train_loss` and
            `train_accuracy` (over the epoch, while the weights change), `val_loss` and
            `val_accuracy` (after it; `None` without a validation set) and `seconds`.
        best_epoch: the epoch whose weights the model has now; `None` without a validation set.
        stopped: "finished", "patience" or "interrupted".
    """

    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = "finished"

    def __len__(self) -> int:
        return len(self.records)

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        import pandas as pd

        return pd.DataFrame.from_records(self.records)

    def state_dict(self) -> dict[str, Any]:
        """Every field as plain data."""
        return dataclasses.asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.records = [dict(record) for record in state["records"]]
        self.best_epoch, self.stopped = state["best_epoch"], state["stopped"]


# [best-weights]
class BestWeights:
    """A copy of the weights from the epoch with the highest score; of equal ones, the first.

    Attributes:
        epoch: the epoch of the copy, `None` before the first.
        score: its score, the higher the better.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.score = -float("inf")
        self._weights: dict[str, Tensor] = {}

    def offer(self, model: nn.Module, epoch: int, score: float) -> None:
        """Copy the weights if this epoch is better than all before."""
        if score > self.score:
            weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            self.epoch, self.score, self._weights = epoch, score, weights

    def restore(self, model: nn.Module) -> None:
        """Give the model its best weights back; without any, leave it as it is."""
        if self._weights:
            model.load_state_dict(self._weights)

    # [/best-weights]

    def state_dict(self) -> dict[str, Any]:
        """The copy as plain data and tensors."""
        return {"epoch": self.epoch, "score": self.score, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.epoch, self.score = state["epoch"], state["score"]
        self._weights = dict(state["weights"])


@dataclass
class TrainingState:
    """A model with all that trains it.

    Attributes:
        model: in train mode, on the machine.
        network: the model for training's forward passes; where several processes train it, wrapped so that each
            backward pass averages their gradients.
        even_steps: the first steps of an epoch in which all processes have equally many items.
        criterion: called with outputs and targets; the mean loss of the batch.
        optimizer: over the parameters that require a gradient.
        scheduler: advanced once per `clslab.schedule.unit`; `None` for a constant learning rate.
        scaler: scales the loss for fp16, and does nothing otherwise.
        recipe: the settings.
        machine: where it computes.
        average: of the weights over the steps, `None` without one.
        best: the best weights so far (of the average, if there is one).
        history: the epochs so far.
        checkpoint: saves and loads all of the above.
    """

    model: nn.Module
    network: nn.Module
    even_steps: int
    criterion: Callable[[Any, Any], Tensor]
    optimizer: Optimizer
    scheduler: LRScheduler | None
    scaler: torch.amp.GradScaler
    recipe: Recipe
    machine: Machine
    average: WeightAverage | None
    best: BestWeights
    history: History
    checkpoint: Checkpoint

    @classmethod
    def start(
        cls,
        model: nn.Module,
        train: Iterable[Any],
        recipe: Recipe,
        machine: Machine,
        criterion: Callable[[Any, Any], Tensor] | None,
        optimizer: Optimizer | None,
    ) -> TrainingState:
        """What the recipe names, built; a criterion or optimizer that is given is used instead."""
        distributed.check_in_step(train)
        network = distributed.together(model)
        distributed.draw_apart()
        criterion = losses.create(recipe) if criterion is None else criterion
        if isinstance(criterion, nn.Module):
            criterion.to(machine.device)
        optimizer = optim.create(recipe, model) if optimizer is None else _checked(optimizer, recipe)
        scheduler = None
        if recipe.epochs > 0:
            total = recipe.epochs * _steps(train, recipe)
            scheduler = schedule.create(recipe, optimizer, total)
        scaler = torch.amp.GradScaler(enabled=machine.precision == "fp16")
        best, history = BestWeights(), History()
        parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "scaler": scaler}
        parts |= {"best": best, "history": history}
        if scheduler is not None:
            parts["scheduler"] = scheduler
        average = WeightAverage(model, recipe.ema) if recipe.ema > 0 else None
        if average is not None:
            parts["average"] = average
        checkpoint = Checkpoint(parts, train, recipe, machine.to_dict())
        return cls(
            model,
            network,
            distributed.even_steps(train),
            criterion,
            optimizer,
            scheduler,
            scaler,
            recipe,
            machine,
            average,
            best,
            history,
            checkpoint,
        )

    @property
    def evaluated(self) -> nn.Module:
        """The model to evaluate: the average of the weights if there is one."""
        return self.model if self.average is None else self.average.module

    def epochs(self, patience: int | None) -> Iterator[int]:
        """The numbers of the epochs to come, until the recipe's last one or until patience runs out."""
        for epoch in range(len(self.history) + 1, self.recipe.epochs + 1):
            if self.out_of_patience(patience):
                self.history.stopped = "patience"
                return
            yield epoch

    def weighed(self, loss: Tensor, count: int, step: int) -> Tensor:
        """The mean loss of `count` items, weighed by their share in the step's items of all processes.

        The processes' gradients are averaged with equal weights, and the last batch of an epoch may give one of them an
        item more. To ask the others how many they have is a meeting at which the first waits for the last, so it is
        done only where it is not known (`distributed.even_steps`). A single process gets its loss back as it is.

        Args:
            loss: the mean over this process's items.
            count: how many these are.
            step: number of the step in its epoch, from 0.
        """
        size = distributed.world().world_size
        if size == 1 or step < self.even_steps:
            return loss
        own = torch.tensor(float(count), device=loss.device)
        return loss * (own * size / distributed.sum_over_ranks(own))

    def first_draws(self) -> contextlib.AbstractContextManager[None]:
        """For the forward pass that SAM repeats: random draws that can be drawn again. Without SAM nothing happens."""
        if isinstance(self.optimizer, optim.SAM):
            return optim.repeatable_draws(self.machine.device)
        return contextlib.nullcontext()

    def average_statistics(self) -> None:
        """Bring together what batch norm counted in several processes; in one process nothing happens."""
        distributed.average_statistics(self.model)
        if self.average is not None:
            distributed.average_statistics(self.average.module)

    def update_average(self) -> None:
        """Take the weights of this step into their average, if there is one."""
        if self.average is not None:
            self.average.update(self.model)

    def advance_schedule(self, unit: str) -> None:
        """Change the learning rate, if `unit` ("step" or "epoch") is what the schedule counts."""
        if self.scheduler is not None and schedule.unit(self.recipe) == unit:
            self.scheduler.step()

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Take note of an epoch, and keep the weights if it is the best so far."""
        if record["val_accuracy"] is not None:
            self.best.offer(self.evaluated, record["epoch"], record["val_accuracy"])
        self.history.records.append(record)
        self.history.best_epoch = self.best.epoch

    def leave_best(self) -> None:
        """Leave the model with its best weights; without a validation, with the average of the last ones, if any."""
        if self.average is not None and self.average.steps > 0:
            self.model.load_state_dict(self.average.module.state_dict())
        self.best.restore(self.model)

    def interrupt(self) -> None:
        """Take note of Ctrl-C. Among several processes it is raised again: the others wait for this one in vain."""
        self.history.stopped = "interrupted"
        if distributed.world().world_size > 1:
            raise KeyboardInterrupt

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs brought no better validation accuracy."""
        return patience is not None and len(self.history) - (self.best.epoch or 0) >= patience


def _checked(optimizer: Optimizer, recipe: Recipe) -> Optimizer:
    """An optimizer that was given, unless the recipe names something that only its own optimizer would do."""
    if recipe.sam_rho > 0 and not isinstance(optimizer, optim.SAM):
        raise ValueError(
            f"sam_rho = {recipe.sam_rho}, and the optimizer given is a {type(optimizer).__name__} without SAM; "
            "put a clslab.optim.SAM around it, or leave optimizer or sam_rho out"
        )
    return optimizer


def _steps(loader: Iterable[Any], recipe: Recipe) -> int:
    """Batches in an epoch, which a schedule in steps has to know."""
    if schedule.unit(recipe) == "epoch":
        return 1
    steps = distributed.length_of(loader)
    if steps is None:
        raise ValueError(
            f"schedule {recipe.schedule!r} has to know how many batches an epoch has, and the "
            "loader has no length; give it one, or take schedule 'constant' without warmup"
        )
    if steps == 0:
        raise ValueError(EMPTY_LOADER)
    return steps

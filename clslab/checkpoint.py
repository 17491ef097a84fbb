"""Saving a training run after each epoch, so that a run that was killed can go on as if it had not been.

Taught in chapter 2.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch

from clslab import distributed
from clslab.recipe import Recipe


class Stateful(Protocol):
    """Whatever can be saved and loaded as PyTorch's modules and optimizers are."""

    def state_dict(self) -> Any:
        """The state as plain data and tensors."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take over what `state_dict` gave."""


@dataclass
class Checkpoint:
    """All that has to be saved for a resumed run to be bit-identical to one that never stopped.

    Attributes:
        parts: what has a state, by name: model, optimizer, scheduler, scaler, best weights, history.
        loader: the training loader, for the generators that shuffle it.
        recipe: must be the same on resume.
        machine: `Machine.to_dict()` of the run.
    """

    parts: dict[str, Stateful]
    loader: Iterable[Any]
    recipe: Recipe
    machine: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the state at once or not at all: a run that is killed leaves the previous one.

        Of several processes the first one writes. All call this, as each has random numbers of its own, and none goes
        on before the file is there: whichever reads it next reads this state.
        """
        generators = [generator.get_state() for generator in _generators(self.loader)]
        processes = distributed.gather({"random": random_state(), "generators": generators})
        if distributed.is_writer():
            self._write(Path(path), processes)
        distributed.agreed("written")

    def _write(self, path: Path, processes: list[dict[str, Any]]) -> None:
        state = {
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "processes": processes,
            "recipe": self.recipe.to_dict(),
            "machine": self.machine,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def load(self, path: str | Path) -> None:
        """Set every part to the saved state.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file belongs to another recipe, or was made with other parts or by another number of
                processes.
        """
        state = read_checkpoint(path)
        _check_same_recipe(Path(path), Recipe.from_dict(state["recipe"]), self.recipe)
        _check_same_scaling(Path(path), state["machine"]["precision"], self.machine["precision"])
        own = _of_this_process(Path(path), state["processes"])
        generators = _generators(self.loader)
        if set(state["parts"]) != set(self.parts) or len(own["generators"]) != len(generators):
            raise ValueError(
                f"{path} holds {', '.join(sorted(state['parts']))} and {len(own['generators'])} "
                f"loader generators, this run has {', '.join(sorted(self.parts))} and "
                f"{len(generators)}; resume with the same kind of loader, schedule and precision"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        for generator, saved in zip(generators, own["generators"], strict=True):
            generator.set_state(saved)
        restore_random_state(own["random"])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The contents of a checkpoint file, on the CPU. Only tensors and plain data are read.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path} to resume from; leave resume out to start from the beginning")
    return torch.load(path, map_location="cpu", weights_only=True)


def random_state() -> dict[str, Any]:
    """States of every global random number generator, as tensors and plain data."""
    state = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, *rest = cast(tuple[Any, ...], state)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set every global random number generator to what `random_state` gave."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    here = state["cuda"][: torch.cuda.device_count()]  # there may be fewer devices than before
    for device, saved in enumerate(here):
        torch.cuda.set_rng_state(saved, device)


def _generators(loader: Iterable[Any]) -> list[torch.Generator]:
    """The generators that a loader and its samplers draw from, each once."""
    generators = [getattr(part, "generator", None) for part in distributed.parts_of_loader(loader)]
    found = {id(each): each for each in generators if isinstance(each, torch.Generator)}
    return list(found.values())


def _check_same_scaling(path: Path, saved: str, asked: str) -> None:
    """Refuse to go on in fp16 from anything else, or the reverse: only fp16 has a scale of the loss to go on with."""
    if (saved == "fp16") != (asked == "fp16"):
        raise ValueError(f"{path} was trained in {saved}, and this run is in {asked}; resume with the same precision")


def _of_this_process(path: Path, processes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    here = distributed.world()
    if len(processes) != here.world_size:
        raise ValueError(
            f"{path} was written by {len(processes)} processes, and there {'is' if here.world_size == 1 else 'are'} "
            f"{here.world_size}; resume with {len(processes)} (torchrun --nproc-per-node={len(processes)} …)"
        )
    return processes[here.rank]


def differences(saved: Recipe, asked: Recipe, *, free: Collection[str] = ()) -> str:
    """The fields in which two recipes differ, in words, without those that may; empty if there are none.

    >>> differences(Recipe(lr=0.1), Recipe(lr=0.2, seed=1), free=["seed"])
    'lr 0.1 -> 0.2'
    """
    old, new = saved.to_dict(), asked.to_dict()
    return ", ".join(
        f"{name} {old[name]!r} -> {new[name]!r}" for name in old if old[name] != new[name] and name not in free
    )


def _check_same_recipe(path: Path, saved: Recipe, asked: Recipe) -> None:
    """Refuse another recipe, except for more epochs where no learning rate depends on their number."""
    changes = differences(saved, asked, free=() if asked.schedule == "cosine" else ("epochs",))
    if changes:
        raise ValueError(f"{path} belongs to another recipe ({changes}); resume with the recipe it was made with")

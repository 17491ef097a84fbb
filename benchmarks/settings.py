"""How fast a network trains in another memory format, another precision, compiled, or all of these.

The first way is always full precision in contiguous memory, step by step as Python says it. Seconds of it over
seconds of the other way, pair by pair: above 1 the other way is faster. There is no aim; what helps depends on the
processor, and on the network: MobileNet's convolutions look at one channel each. A processor without units for bf16
imitates it. Compiling takes place before anything is timed, its seconds are reported; it needs a C++ compiler, and
without one it is left out, which the notes then say.

    python benchmarks/settings.py [--quick] [--record]
"""

from __future__ import annotations

import copy
import shutil
import time

import interleaved
import torch
from torch import nn

from clslab import models, optim, seeds
from clslab.device import MEMORY_FORMATS, Machine, choose
from clslab.recipe import Recipe

BATCH = 128
RECIPE = Recipe(optimizer="sgd", lr=0.01)


class Steps:
    """Some training steps on one batch."""

    def __init__(self, model: nn.Module, machine: Machine, *, steps: int, compiled: bool = False) -> None:
        model = copy.deepcopy(model).train().to(machine.device, memory_format=MEMORY_FORMATS[machine.memory_format])
        self.optimizer = optim.create(RECIPE, model)
        self.forward = torch.compile(model) if compiled else model
        self.machine, self.steps = machine, steps
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randn(BATCH, 3, 32, 32, generator=generator)
        self.batch = machine.place((pictures, torch.arange(BATCH) % 100))

    def __call__(self) -> float:
        """Take the steps; the last loss, which only a device that has finished can tell."""
        loss = torch.zeros(())
        inputs, targets = self.batch
        for _ in range(self.steps):
            self.optimizer.zero_grad(set_to_none=True)
            with self.machine.autocast():
                loss = nn.functional.cross_entropy(self.forward(inputs), targets)
            loss.backward()
            self.optimizer.step()
        return loss.item()


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps = (3, 1) if chosen.quick else (21, 1)
    seeds.seed_everything(0)
    model = models.create("resnet9", num_classes=100, width=16)
    plain = choose()
    torch.set_num_threads(plain.threads)
    fast = plain.replace(precision="bf16", memory_format="channels_last")
    ways = {
        "channels_last": Steps(model, plain.replace(memory_format="channels_last"), steps=steps),
        "bf16": Steps(model, plain.replace(precision="bf16"), steps=steps),
        "bf16, channels_last": Steps(model, fast, steps=steps),
    }
    compiling = None
    if plain.on_cuda or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++") or shutil.which("cl"):
        started = time.perf_counter()
        for name, machine in {"compiled": plain, "bf16, channels_last, compiled": fast}.items():
            ways[name] = Steps(model, machine, steps=steps, compiled=True)
            ways[name]()
        compiling = round(time.perf_counter() - started, 1)
    reference = Steps(model, plain, steps=steps)
    ratios = {f"plain over {name}": interleaved.compare(reference, way, pairs=pairs) for name, way in ways.items()}
    # Kernels that look at one channel each: other code in every library, and little to multiply.
    depthwise = models.create("mobilenet", num_classes=100)
    reference = Steps(depthwise, plain, steps=steps)
    for name, machine in {
        "channels_last": plain.replace(memory_format="channels_last"),
        "bf16": plain.replace(precision="bf16"),
        "bf16, channels_last": fast,
    }.items():
        way = Steps(depthwise, machine, steps=steps)
        ratios[f"plain over {name}, MobileNet"] = interleaved.compare(reference, way, pairs=pairs)
    interleaved.report(
        "settings",
        ratios,
        machine=plain,
        notes=f"ResNet-9 of width 16 or MobileNet, {BATCH} pictures of 32 x 32; plain is fp32, contiguous, "
        "not compiled; "
        + (
            "no C++ compiler, so nothing was compiled"
            if compiling is None
            else f"compiling both ways took {compiling} s"
        ),
        record=chosen.record,
        seconds_of_compiling=compiling,
    )


if __name__ == "__main__":
    main()

"""What two processes that train one model together bring on two cores, with one thread each.

Three ratios, each with two joined processes as the second way, so that above 1 means they are faster:

- to twice a single process with one thread: what is lost of two cores (aim: at least 0.9);
- to one process with two threads and the same global batch: the other way to use two cores;
- to two processes that train a model each and know nothing of each other: what exchanging gradients costs. What the
  first ratio loses and this one does not is lost by the machine: two cores that share their memory, or one core that
  poses as two.

    python benchmarks/two_processes.py [--quick] [--record]
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from functools import cache
from multiprocessing.connection import Connection
from types import TracebackType

import interleaved
import torch
from torch import Tensor

from clslab import distributed, models, seeds
from clslab.data.loading import BatchLoader
from clslab.device import Machine, choose
from clslab.recipe import Recipe
from clslab.train import fit

EACH = 128  # pictures per step and process
SETTINGS = Recipe(epochs=1, optimizer="sgd", optimizer_options={"momentum": 0.9, "nesterov": True}, lr=0.1)


@cache
def pictures(count: int) -> tuple[Tensor, Tensor]:
    """Random pictures and their classes, made once in each process, before anything is timed."""
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 100, (count,))


def train(machine: Machine, batch_size: int, steps: int) -> None:
    """An epoch of ResNet-9 on random pictures: `steps` steps of `batch_size` pictures in all."""
    here = distributed.world()
    seeds.seed_everything(0)
    model = models.create("resnet9", num_classes=100, width=16)
    batches = BatchLoader(
        *pictures(batch_size * steps),
        batch_size=distributed.share_of(batch_size),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        shuffle=True,
        rank=here.rank,
        world_size=here.world_size,
    )
    torch.set_num_threads(machine.threads)
    fit(model, batches, None, SETTINGS, machine=machine)


def serve(orders: Connection, environment: dict[str, str]) -> None:
    """Train whenever told to, until told `None`."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    with distributed.joined("gloo"):
        while (order := orders.recv()) is not None:
            try:
                train(*order)
            except Exception:  # noqa: BLE001 (whatever it is, the benchmark has to hear of it)
                orders.send(traceback.format_exc())
                return
            orders.send("")


class Workers:
    """Processes that wait for orders, joined to one another or not."""

    def __init__(self, count: int, *, together: bool) -> None:
        context = multiprocessing.get_context("spawn")
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = str(listening.getsockname()[1])
        self.orders, self.processes = [], []
        for rank in range(count):
            environment = {"WORLD_SIZE": str(count if together else 1), "RANK": str(rank), "LOCAL_RANK": str(rank)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CLSLAB_DEVICE": "cpu"}
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, environment))
            process.start()
            self.orders.append(ours)
            self.processes.append(process)

    def train(self, machine: Machine, batch_size: int, steps: int, *, count: int | None = None) -> None:
        """Let the first `count` of them train, all at once, and wait for them."""
        chosen = self.orders[:count]
        for orders in chosen:
            orders.send((machine, batch_size, steps))
        failures = [failure for orders in chosen if (failure := orders.recv())]
        if failures:
            raise RuntimeError(f"a process failed:\n{failures[0]}")

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for orders, process in zip(self.orders, self.processes, strict=True):
            if process.is_alive():
                orders.send(None)
        for process in self.processes:
            process.join(timeout=20)
            if process.is_alive():
                process.kill()


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    pairs, steps = (3, 2) if chosen.quick else (21, 20)
    one, two = choose().replace(threads=1), choose().replace(threads=2)
    with Workers(2, together=True) as joined, Workers(2, together=False) as apart:

        def together() -> None:
            joined.train(one, 2 * EACH, steps)

        ratios = {
            "twice one process with one thread": interleaved.compare(
                lambda: apart.train(one, EACH, steps, count=1), together, pairs=pairs
            ),
            "one process with two threads": interleaved.compare(
                lambda: apart.train(two, 2 * EACH, steps, count=1), together, pairs=pairs
            ),
            "two processes apart": interleaved.compare(lambda: apart.train(one, EACH, steps), together, pairs=pairs),
        }
    interleaved.report(
        "two_processes",
        ratios,
        aims={"twice one process with one thread": 0.9},
        machine=one,
        notes=f"ResNet-9 (width 16), {EACH} random pictures of 32 x 32 per step and process, gloo; the second way is "
        "always two joined processes with one thread each; in the first ratio they train on twice as many pictures; "
        f"what is timed is a fit of {steps} steps, its start included",
        record=chosen.record,
        steps=steps,
        pictures_per_second=round(2 * EACH * steps / ratios["two processes apart"].seconds_second, 1),
    )


if __name__ == "__main__":
    main()

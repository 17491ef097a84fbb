"""What `test_distributed.py` runs in one process and in two: trains, evaluates, resumes, and keeps what came out.

python distributed_job.py NAME FOLDER      with the environment that torchrun sets, or without it
"""

import sys
import time
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clslab import distributed, seeds, train
from clslab.checkpoint import read_checkpoint
from clslab.data.loading import BatchLoader
from clslab.device import Machine
from clslab.recipe import Recipe

MACHINE = Machine("cpu", threads=1, name="test")
ITEMS, BATCH = 53, 16  # a last batch of 5: two processes take 3 and 2
SGD = Recipe(
    epochs=3,
    batch_size=BATCH,
    optimizer="sgd",
    optimizer_options={"momentum": 0.9},
    lr=0.05,
    warmup=0.5,
    clip_norm=1.0,
    label_smoothing=0.1,
)
RECIPES = {
    "sgd": SGD,
    "adamw": Recipe(epochs=3, batch_size=BATCH, lr=0.01),
    "sam, average": SGD.replace(sam_rho=0.3, ema=0.9),
    "asam": Recipe(epochs=3, batch_size=BATCH, lr=0.01, sam_rho=1.0, sam_adaptive=True),
}
COLD = Recipe(epochs=4, batch_size=BATCH, lr=0.02, warmup=0.5)
RESUMED = {
    "batches": ("batches", COLD),
    "items": ("items", COLD),
    "sam, average": ("items", COLD.replace(optimizer="lookahead-adamw", sam_rho=0.1, ema=0.9)),
}


def pictures():
    """53 noisy pictures [N, 1, 4, 4], brighter with the class."""
    generator = torch.Generator().manual_seed(5)
    targets = torch.arange(ITEMS) % 3
    images = torch.randint(0, 120, (ITEMS, 1, 4, 4), generator=generator) + 40 * targets[:, None, None, None]
    return images.to(torch.uint8), targets


def plain_net():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def batch_norm_net():
    """Batch norm and dropout: what makes processes differ, and a run hard to repeat."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))


def start(make):
    seeds.seed_everything(0)
    return make()


def batch_loaders(shuffle=True):
    here = distributed.world()
    shared = {"batch_size": distributed.share_of(BATCH), "rank": here.rank, "world_size": here.world_size}
    return BatchLoader(*pictures(), shuffle=shuffle, seed=3, **shared), BatchLoader(*pictures(), **shared)


def data_loaders(shuffle=True):
    images, targets = pictures()
    dataset, each = TensorDataset(images.float() / 255 - 0.5, targets), distributed.share_of(BATCH)
    samplers = (
        distributed.ShardSampler(ITEMS, batch_size=each, shuffle=shuffle, seed=3),
        distributed.ShardSampler(ITEMS, batch_size=each),
    )
    return [
        DataLoader(dataset, batch_size=each, sampler=one, generator=seeds.generator(distributed.world().rank))
        for one in samplers
    ]


LOADERS = {"batches": batch_loaders, "items": data_loaders}


def kept(model, history):
    records = [{name: value for name, value in record.items() if name != "seconds"} for record in history.records]
    return {"weights": {name: each.clone() for name, each in model.state_dict().items()}, "records": records}


def same_as_one():
    """Everything that two processes have to find as one does."""
    found = {}
    for loaders in LOADERS:
        for name, recipe in RECIPES.items():
            model = start(plain_net)
            if distributed.world().rank == 1:
                nn.init.zeros_(model[1].weight)  # the weights of process 0 are those that count
            learnt, checked = LOADERS[loaders]()
            history = train.fit(model, learnt, checked, recipe, machine=MACHINE)
            counted = train.evaluate(model, checked, machine=MACHINE)
            probabilities, targets = train.predict(model, checked, machine=MACHINE)
            found[f"{loaders} {name}"] = kept(model, history) | {
                "evaluated": (counted.correct, counted.count, counted.loss_sum),
                "probabilities": probabilities,
                "targets": targets,
            }
    return found


def again():
    """A second training of one model, after the first."""
    model = start(plain_net)
    for seed in (1, 2):
        history = train.fit(model, *batch_loaders(), SGD.replace(seed=seed), machine=MACHINE)
    return kept(model, history)


def with_batch_norm(machine=MACHINE, recipe=SGD):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    seeds.seed_everything(0)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.2)
    history = train.fit(model, *batch_loaders(), recipe, machine=machine)
    return kept(model, history)


def resumed(folder, name):
    """A run without a stop, and the same run stopped after two epochs and resumed."""
    straight, cut = folder / f"{name}-straight.pt", folder / f"{name}-cut.pt"
    loaders, recipe = RESUMED[name]
    model = start(batch_norm_net)
    whole = kept(model, train.fit(model, *LOADERS[loaders](), recipe, machine=MACHINE, checkpoint=straight))

    def interrupt(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    interrupted = False
    try:
        history = train.fit(
            start(batch_norm_net), *LOADERS[loaders](), recipe, machine=MACHINE, checkpoint=cut, on_epoch=interrupt
        )
        interrupted = history.stopped == "interrupted"
    except KeyboardInterrupt:
        interrupted = distributed.world().world_size > 1
    seeds.seed_everything(99)
    model = batch_norm_net()
    history = train.fit(model, *LOADERS[loaders](), recipe, checkpoint=cut, resume=cut)
    return {
        "interrupted": interrupted,
        "whole": whole,
        "resumed": kept(model, history),
        "checkpoints": [read_checkpoint(straight), read_checkpoint(cut)],
    }


def read_at_once(folder):
    """The number of epochs in a checkpoint, read at once after each epoch, while the disk is slow."""
    path, replace, found = folder / "read-at-once.pt", Path.replace, []

    def slowly(unfinished, target):
        time.sleep(0.2)
        return replace(unfinished, target)

    with mock.patch.object(Path, "replace", slowly):
        for epochs in (1, 2, 3):
            recipe = SGD.replace(epochs=epochs, schedule="constant", warmup=0.0)
            resume = None if epochs == 1 else path
            train.fit(start(plain_net), *batch_loaders(), recipe, machine=MACHINE, checkpoint=path, resume=resume)
            found.append(len(read_checkpoint(path)["parts"]["history"]["records"]))
    return found


def message(function, *arguments, **options):
    """The message of the error that a call raises."""
    try:
        function(*arguments, **options)
    except ValueError as error:
        return str(error)
    return "no error"


def refused(folder):
    """The messages of what cannot be done in several processes."""
    learnt, checked = batch_loaders()
    undivided, model = BatchLoader(*pictures(), batch_size=8, shuffle=True), start(plain_net)
    uneven = BatchLoader(*[part[: 20 + 20 * distributed.world().rank] for part in pictures()], batch_size=4)
    uneven.world_size = distributed.world().world_size
    elsewhere = BatchLoader(*pictures(), batch_size=8, rank=1, world_size=3)
    state = {"parts": {}, "recipe": SGD.to_dict(), "machine": MACHINE.to_dict(), "processes": [{}] * 3}
    three = folder / f"three-{distributed.world().rank}.pt"
    torch.save(state, three)
    return {
        "undivided": message(train.fit, model, undivided, checked, SGD, machine=MACHINE),
        "uneven": message(train.fit, model, uneven, checked, SGD, machine=MACHINE),
        "elsewhere": message(train.evaluate, model, elsewhere, machine=MACHINE),
        "batch": message(distributed.share_of, 15),
        "joined": message(distributed.joined().__enter__),
        "checkpoint": message(train.fit, model, learnt, checked, SGD, machine=MACHINE, resume=three),
    }


def everything(folder):
    here = distributed.world()
    model = start(plain_net)
    undivided = BatchLoader(*pictures(), batch_size=BATCH)
    lone = BatchLoader(*[part[:1] for part in pictures()], batch_size=4, rank=here.rank, world_size=here.world_size)
    logged = train.fit(model, *batch_loaders(), SGD, machine=MACHINE, log=folder / "log.txt")
    return {
        "world": (here.rank, here.local_rank, here.world_size, distributed.is_writer()),
        "gathered": distributed.gather(f"rank {here.rank}"),
        "agreed": distributed.agreed(f"rank {here.rank}"),
        "sum": distributed.sum_over_ranks(torch.tensor([1.0, here.rank])),
        "epochs logged": len(logged),
        "same": same_as_one(),
        "again": again(),
        "undivided": train.evaluate(model, undivided, machine=MACHINE).count,
        "predicted": len(train.predict(model, undivided, machine=MACHINE)[0]),
        "lone": train.evaluate(model, lone, machine=MACHINE).count,
        "batch norm": with_batch_norm(),
        "average, batch norm": with_batch_norm(recipe=RECIPES["sam, average"]),
        "channels_last": with_batch_norm(MACHINE.replace(memory_format="channels_last")),
        "resumed": {name: resumed(folder, name) for name in RESUMED},
        "read at once": read_at_once(folder),
        "refused": refused(folder),
        "random": torch.rand(4),
    }


def failing(folder):
    """Process 1 makes a mistake in the first epoch."""

    def stumble(record):
        if distributed.world().rank == 1:
            raise ValueError("process 1 stumbles")

    train.fit(start(plain_net), *batch_loaders(), SGD, machine=MACHINE, on_epoch=stumble)


def failing_in_a_step(folder):
    """Process 1 makes a mistake in its second step, while the other is on its way to the exchange."""
    steps = []

    def stumble(outputs, targets):
        steps.append(len(outputs))
        if len(steps) == 2 and distributed.world().rank == 1:
            raise ValueError("process 1 stumbles")
        return nn.functional.cross_entropy(outputs, targets)

    train.fit(start(plain_net), *batch_loaders(), SGD, machine=MACHINE, criterion=stumble)


def main():
    torch.set_num_threads(1)
    name, folder = sys.argv[1], Path(sys.argv[2])
    with distributed.joined() as here:
        jobs = {"everything": everything, "failing": failing, "failing in a step": failing_in_a_step}
        found = jobs[name](folder)
        torch.save(found, folder / f"rank-{here.rank}.pt")


if __name__ == "__main__":
    main()

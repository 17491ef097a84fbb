"""Two real processes on this machine: what they find has to be what one process finds."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import distributed_job as job
import pytest
import torch
from torch.utils.data import DataLoader

from clslab import distributed
from clslab.data.loading import BatchLoader, DevicePrefetcher
from clslab.distributed import ShardSampler

JOB = Path(job.__file__)
TIMEOUT = 300
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def start(name, folder, processes):
    """The processes of a job, each with the environment that torchrun would give it."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    shared |= {"OMP_NUM_THREADS": "1", "CLSLAB_DEVICE": "cpu"}
    if sys.platform in LOOPBACK:  # gloo warns where a machine cannot resolve its own name
        shared["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    folder.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(JOB), name, str(folder)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def ended(started):
    """Exit code, output and errors of each process."""
    outputs = [one.communicate(timeout=TIMEOUT) for one in started]
    return [(one.returncode, *output) for one, output in zip(started, outputs, strict=True)]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one process finds, in this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WORLD_SIZE", raising=False)
        return job.everything(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def printed(folder):
    """What each of two processes printed."""
    found = ended(start("everything", folder, 2))
    assert [code for code, _, _ in found] == [0, 0], "\n".join(error for _, _, error in found)
    assert [error for _, _, error in found] == ["", ""]
    return [out for _, out, _ in found]


@pytest.fixture(scope="module")
def two(printed, folder):
    """What each of two processes found."""
    return [torch.load(folder / f"rank-{rank}.pt") for rank in (0, 1)]


def assert_close(first, second, tolerance):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.allclose(first[name].double(), second[name].double(), rtol=0, atol=tolerance), name


def assert_identical(first, second, path=""):
    """Nested plain data and tensors, equal to the last bit; clocks apart."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for name in first.keys() - {"seconds"}:
            assert_identical(first[name], second[name], f"{path}/{name}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_identical(*pair, f"{path}/{index}")
    else:
        assert first == second, path


# ------------------------------------------------------------------------------------- one process


def test_one_process_is_alone():
    assert distributed.world() == distributed.World(0, 0, 1)
    assert distributed.is_writer()
    with distributed.joined() as here:
        assert here == distributed.World()
    tensor = torch.ones(2)
    assert distributed.sum_over_ranks(tensor) is tensor
    assert distributed.gather(3) == [3]
    assert distributed.agreed(3) == 3
    model = torch.nn.Linear(1, 1)
    assert distributed.together(model) is model


def test_half_an_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with (
        pytest.raises(ValueError, match=r"WORLD_SIZE is 2 and RANK, MASTER_ADDR, MASTER_PORT not set; .*torchrun"),
        distributed.joined(),
    ):
        pass


# ------------------------------------------------------------------------------------------ shards


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [4, 5, 11, 12, 13, 24])
@pytest.mark.parametrize("shuffle", [False, True])
def test_shards_are_those_of_whole_batches(size, world_size, shuffle):
    options = {"batch_size": 3, "world_size": world_size, "shuffle": shuffle, "seed": 7}
    images = torch.arange(size, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    seen = []
    for rank in range(world_size):
        sampler = ShardSampler(size, rank=rank, **options)
        batches = BatchLoader(images, torch.arange(size), mean=[0], std=[1], rank=rank, **options)
        for epoch in (1, 2):
            sampler.set_epoch(epoch)
            batches.set_epoch(epoch)
            own = list(sampler)
            assert [own[start : start + 3] for start in range(0, len(own), 3)] == [t.tolist() for _, t in batches]
            assert len(own) == len(sampler)
        seen.append(own)
    items = sorted(item for own in seen for item in own)
    if not shuffle:
        assert items == list(range(size))
    else:
        assert len(set(items)) == len(items) > size - world_size
        assert len({-(-len(own) // 3) for own in seen}) == 1  # all take the same number of steps


def test_the_order_changes_with_epoch_and_seed():
    sampler = ShardSampler(40, batch_size=5, shuffle=True, rank=0, world_size=1)
    orders = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (0, 1)):
        sampler.seed = seed
        sampler.set_epoch(epoch)
        orders.append(tuple(sampler))
    assert len(set(orders)) == 3
    assert orders[0] == orders[3]


def test_a_short_last_group_can_be_left_out():
    parts = [list(ShardSampler(11, batch_size=2, drop_last=True, rank=rank, world_size=2)) for rank in (0, 1)]
    assert parts == [[0, 1, 4, 5], [2, 3, 6, 7]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 of 2 processes"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"rank": 0, "world_size": 6}, "5 items for 6 processes"),
    ],
)
def test_wrong_shards_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ShardSampler(5, **{"batch_size": 1} | options)


def test_a_wrapped_loader_is_known_as_divided():
    class Wrapped:
        def __init__(self, loader):
            self.loader = loader

    images, targets = job.pictures()
    assert not distributed.is_divided(Wrapped(BatchLoader(images, targets, batch_size=4)))
    with pytest.raises(ValueError, match="divided for 2 processes, and there is 1"):
        distributed.is_divided(Wrapped(BatchLoader(images, targets, batch_size=4, world_size=2)))


def counts_of(batch, size, world_size, drop_last, kind):
    """Items in each batch of each process, and the loader of the first."""
    loaders = []
    for rank in range(world_size):
        shared = {"batch_size": batch, "drop_last": drop_last, "shuffle": True}
        own = {"rank": rank, "world_size": world_size}
        if kind == "batches":
            images, targets = torch.zeros(size, 1, 2, 2, dtype=torch.uint8), torch.zeros(size, dtype=torch.long)
            loaders.append(BatchLoader(images, targets, mean=(0,), std=(1,), **shared, **own))
        else:
            sampler = distributed.ShardSampler(size, **shared, **own)
            loaders.append(DataLoader(torch.arange(size), batch_size=batch, sampler=sampler))
    firsts = [[batch if kind == "items" else batch[1] for batch in loader] for loader in loaders]
    return [[len(first) for first in own] for own in firsts], loaders[0]


@pytest.mark.parametrize("kind", ["batches", "items"])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_in_all_steps_but_the_last_every_process_has_equally_many_items(kind, drop_last, world_size, batch):
    for size in range(world_size * batch if drop_last else world_size, 35):
        counts, loader = counts_of(batch, size, world_size, drop_last, kind)
        even = distributed.even_steps(loader)
        assert even == max(0, len(counts[0]) - 1)
        assert all(len(set(step)) == 1 for step in list(zip(*counts, strict=True))[:even])


def test_of_a_loader_that_does_not_say_how_it_is_divided_nothing_is_known():
    class Divided(list):
        world_size = 2

    assert distributed.even_steps(Divided([1, 2, 3])) == 0
    images, targets = job.pictures()
    prefetched = DevicePrefetcher(BatchLoader(images, targets, batch_size=10), "cpu")
    assert distributed.even_steps(prefetched) == 5


# ----------------------------------------------------------------------------------- two processes


def test_each_knows_itself_and_the_others(two):
    assert [found["world"] for found in two] == [(0, 0, 2, True), (1, 1, 2, False)]
    for found in two:
        assert found["gathered"] == ["rank 0", "rank 1"]
        assert found["agreed"] == "rank 0"
        assert found["sum"].tolist() == [2, 1]


@pytest.mark.parametrize("name", [f"{loaders} {recipe}" for loaders in job.LOADERS for recipe in job.RECIPES])
def test_two_processes_are_one_with_the_same_batches(name, one, two):
    alone = one["same"][name]
    for found in two:
        assert_close(alone["weights"], found["same"][name]["weights"], 1e-5)
        for record, other in zip(alone["records"], found["same"][name]["records"], strict=True):
            assert other == pytest.approx(record, abs=1e-5)
        correct, count, loss_sum = found["same"][name]["evaluated"]
        assert (correct, count) == alone["evaluated"][:2]
        assert loss_sum == pytest.approx(alone["evaluated"][2], abs=1e-4)
        assert torch.equal(found["same"][name]["targets"], alone["targets"])
        assert torch.allclose(found["same"][name]["probabilities"], alone["probabilities"], atol=1e-5)


def test_both_have_the_same_to_the_last_bit(two):
    for part in ("same", "again", "batch norm", "average, batch norm", "channels_last"):
        assert_identical(two[0][part], two[1][part])


def test_it_is_no_accident_that_they_agree(one):
    """Training moves the weights by far more than the tolerance."""
    untrained = job.start(job.plain_net).state_dict()
    trained = one["same"]["batches sgd"]["weights"]
    assert max((trained[name] - untrained[name]).abs().max().item() for name in trained) > 0.05


def test_a_model_can_be_trained_a_second_time(one, two):
    assert_close(one["again"]["weights"], two[0]["again"]["weights"], 1e-5)


def test_what_is_not_divided_is_counted_once(two):
    for found in two:
        assert (found["undivided"], found["predicted"], found["lone"]) == (job.ITEMS, job.ITEMS, 1)


def test_batch_norm_makes_two_processes_another_run(one, two):
    """Each process normalises by its own half of the batch: nothing is wrong, and the weights differ."""
    alone, found = one["batch norm"]["weights"], two[0]["batch norm"]["weights"]
    assert max((alone[name].double() - found[name].double()).abs().max() for name in alone) > 1e-3


def test_one_process_reports(printed, folder):
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", str(number)] for number in (1, 2, 3)]
    assert printed[0].splitlines() == lines
    assert printed[1] == ""


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("loaders", job.RESUMED)
def test_a_resumed_run_is_the_run_that_never_stopped(loaders, processes, one, two):
    for found in [one] if processes == 1 else two:
        runs = found["resumed"][loaders]
        assert runs["interrupted"]
        assert_identical(runs["whole"], runs["resumed"])
        assert_identical(*runs["checkpoints"])
        assert len(runs["checkpoints"][0]["processes"]) == processes


def test_a_checkpoint_is_written_before_any_process_goes_on(one, two):
    for found in (one, *two):
        assert found["read at once"] == [1, 2, 3]


def test_the_processes_draw_different_numbers(two):
    assert not torch.equal(two[0]["random"], two[1]["random"])
    states = two[0]["resumed"]["items"]["checkpoints"][0]["processes"]
    assert not torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("undivided", "the training loader is not divided, so each of the 2 processes would train on every item"),
        ("uneven", "the processes have [3, 5] training batches"),
        ("elsewhere", "the loader is divided for 3 processes, and there are 2"),
        ("batch", "batch_size 15 cannot be divided by 2 processes; take one that can, such as 14"),
        ("joined", "has joined a job already"),
        ("checkpoint", "was written by 3 processes, and there are 2; resume with 3 (torchrun --nproc-per-node=3"),
    ],
)
def test_what_would_go_wrong_is_refused(what, words, two):
    for found in two:
        assert words in found["refused"][what]


@pytest.mark.parametrize("job_name", ["failing", "failing in a step"])
def test_an_error_in_one_process_ends_the_other(tmp_path, job_name):
    (first, _, said), (second, _, error) = ended(start(job_name, tmp_path, 2))
    assert first != 0
    assert second != 0
    assert "ValueError: process 1 stumbles" in error
    assert "ProcessLost: process 0 of 2 stops: another process has ended" in said
    assert "go on from its last checkpoint" in said

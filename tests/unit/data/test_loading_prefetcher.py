import collections
import contextlib
import threading

import pytest
import torch
from torch.utils.data import DataLoader

from clslab.data.loading import BackgroundLoader, BatchLoader, DevicePrefetcher
from clslab.data.loading.prefetcher import CudaCopier, Transfer, over_tensors

Pair = collections.namedtuple("Pair", ["left", "right"])


class FakeCopier:
    """Sends tensors nowhere, ahead of their use, and writes down what is asked of it."""

    ahead = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def send(self, tensor):
        self.calls.append(("send", int(tensor)))
        return tensor + 100

    def receive(self, batch) -> None:
        self.calls.append(("receive", int(batch)))


def numbers(n: int):
    return (torch.tensor(number) for number in range(n))


def test_on_the_cpu_batches_pass_as_they_are() -> None:
    batches = [(torch.rand(2), torch.arange(2)), (torch.rand(1), torch.arange(1))]
    prefetcher = DevicePrefetcher(batches, "cpu")
    assert len(prefetcher) == 2
    for _ in range(2):
        for ours, theirs in zip(prefetcher, batches, strict=True):
            assert ours[0] is theirs[0]
            assert ours[1] is theirs[1]
    assert "nothing is copied" in prefetcher.describe()


def test_on_the_cpu_nothing_is_read_before_it_is_asked_for() -> None:
    read = []

    def source():
        for number in range(3):
            read.append(number)
            yield number

    batches = iter(DevicePrefetcher(source(), "cpu"))
    assert read == []
    next(batches)
    assert read == [0]


def test_other_devices_get_a_copy_when_it_is_asked_for() -> None:
    prefetcher = DevicePrefetcher([torch.ones(2)], "meta")  # a device that every machine has
    assert [batch.device.type for batch in prefetcher] == ["meta"]
    assert prefetcher.describe() == "each batch is copied to meta when it is asked for: nothing is read ahead"


def test_next_ends_with_none_for_ever_until_it_is_iterated_anew() -> None:
    prefetcher = DevicePrefetcher([1, 2], "cpu")
    assert [prefetcher.next() for _ in range(5)] == [1, 2, None, None, None]
    assert list(prefetcher) == [1, 2]
    assert prefetcher.next() == 1
    iter(prefetcher)
    assert [prefetcher.next() for _ in range(3)] == [1, 2, None]


def test_an_empty_loader_gives_nothing() -> None:
    prefetcher = DevicePrefetcher([], "cpu")
    assert len(prefetcher) == 0
    assert list(prefetcher) == []
    assert prefetcher.next() is None
    assert list(Transfer(iter([]), FakeCopier())) == []


def test_iterations_can_be_nested() -> None:
    prefetcher = DevicePrefetcher([1, 2], "cpu")
    assert [(a, b) for a in prefetcher for b in prefetcher] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_only_tensors_move_and_the_loaders_own_containers_stay() -> None:
    name = object()
    ordered = collections.OrderedDict(b=torch.zeros(1), a=name)
    batch = {
        "image": torch.zeros(2),
        "meta": torch.zeros(1),
        "nested": [(torch.zeros(1), "text"), Pair(torch.zeros(1), 3), ordered],
        "none": None,
    }
    moved = over_tensors(lambda tensor: tensor + 1, batch)
    assert torch.equal(moved["image"], torch.ones(2))
    assert moved["meta"] is batch["meta"]
    (first, text), pair, again = moved["nested"]
    assert (float(first), text) == (1, "text")
    assert isinstance(pair, Pair)
    assert (float(pair.left), pair.right) == (1, 3)
    assert isinstance(again, collections.OrderedDict)
    assert list(again) == ["b", "a"]
    assert (float(again["b"]), again["a"]) == (1, name)
    assert moved["none"] is None
    assert torch.equal(batch["image"], torch.zeros(2))
    assert float(ordered["b"]) == 0


def test_the_next_batch_is_sent_after_this_one_was_received() -> None:
    copier = FakeCopier()
    batches = Transfer(numbers(3), copier)
    assert copier.calls == [("send", 0)]
    assert int(next(batches)) == 100
    assert copier.calls == [("send", 0), ("receive", 100), ("send", 1)]
    assert [int(batch) for batch in batches] == [101, 102]
    assert copier.calls[3:] == [("receive", 101), ("send", 2), ("receive", 102)]
    assert list(batches) == []


@pytest.mark.parametrize("ahead", [True, False])
def test_an_exception_of_the_loader_comes_after_the_batches_before_it(ahead) -> None:
    def source():
        yield torch.tensor(1)
        raise ZeroDivisionError("second batch")

    copier = FakeCopier()
    copier.ahead = ahead
    batches = Transfer(source(), copier)
    assert int(next(batches)) == 101
    with pytest.raises(ZeroDivisionError, match="second batch"):
        next(batches)
    assert list(batches) == []


def test_after_an_exception_next_gives_none() -> None:
    def source():
        raise ZeroDivisionError
        yield

    prefetcher = DevicePrefetcher(source(), "cpu")
    with pytest.raises(ZeroDivisionError):
        prefetcher.next()
    assert prefetcher.next() is None


def test_an_interrupt_is_not_put_off() -> None:
    def source():
        yield torch.tensor(1)
        raise KeyboardInterrupt

    batches = Transfer(source(), FakeCopier())
    with pytest.raises(KeyboardInterrupt):
        next(batches)


class FakeStream:
    """A CUDA stream that writes down what waits for what."""

    def __init__(self, name: str, calls: list[tuple[str, ...]]) -> None:
        self.name, self.calls = name, calls

    def wait_stream(self, other) -> None:
        self.calls.append((self.name, "waits for", other.name))


@pytest.fixture
def cuda_calls(monkeypatch):
    """CUDA's streams, pinning and copying, replaced by a list of what would happen."""
    calls: list[tuple[str, ...]] = []
    model, using = FakeStream("model", calls), []

    @contextlib.contextmanager
    def stream(used):
        using.append(used)
        yield
        using.pop()

    def to(tensor, device, non_blocking=False):
        where = using[-1].name if using else model.name
        calls.append(("copy", str(tuple(tensor.shape)), where, "beside" if non_blocking else "at once"))
        return tensor

    def pin_memory(tensor):
        calls.append(("pin", str(tuple(tensor.shape))))
        return tensor

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream("side", calls))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: using[-1] if using else model)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor.shape == (9,))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(
        torch.Tensor,
        "record_stream",
        lambda tensor, used: calls.append(("record", str(tuple(tensor.shape)), used.name)),
    )
    return calls


def test_on_cuda_copies_go_beside_the_model_which_waits_and_is_recorded(cuda_calls) -> None:
    source = iter([(torch.zeros(3), torch.zeros(9), {"meta": torch.zeros(5)}), (torch.zeros(4),)])
    batches = Transfer(source, CudaCopier(torch.device("cuda")))
    first = [
        ("pin", "(3,)"),
        ("copy", "(3,)", "side", "beside"),
        ("copy", "(9,)", "side", "beside"),  # pinned already
    ]
    assert cuda_calls == first
    next(batches)
    received = [("model", "waits for", "side"), ("record", "(3,)", "model"), ("record", "(9,)", "model")]
    second = [("pin", "(4,)"), ("copy", "(4,)", "side", "beside")]
    assert cuda_calls == first + received + second, "the model must not wait for the second copy before the first batch"
    next(batches)
    assert cuda_calls[-2:] == [("model", "waits for", "side"), ("record", "(4,)", "model")]


def test_what_is_on_an_accelerator_already_stays_in_the_models_queue(cuda_calls) -> None:
    copier = CudaCopier(torch.device("cuda"))
    copier.send(torch.zeros(2, device="meta"))
    assert cuda_calls == [("copy", "(2,)", "model", "at once")]


def test_a_cuda_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'cuda:99' is not available"):
        DevicePrefetcher([], "cuda:99")


def test_both_together_give_the_batches_of_the_plain_loader_and_leave_nothing_behind() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(10))
    expected = [batch.tolist() for (batch,) in DataLoader(data, batch_size=4)]
    prefetcher = DevicePrefetcher(BackgroundLoader(data, batch_size=4), "cpu")
    before = threading.active_count()
    assert [batch.tolist() for (batch,) in prefetcher] == expected
    for _ in prefetcher:
        break
    assert threading.active_count() == before
    batches = iter(prefetcher)
    next(batches)
    batches.close()
    assert threading.active_count() == before
    assert prefetcher.next()[0].tolist() == expected[0]
    iter(prefetcher)
    assert threading.active_count() == before, "the iteration of `next` is given up"


def test_epochs_and_attributes_are_the_loaders() -> None:
    loader = BatchLoader(
        torch.randint(256, (4, 1, 2, 2), dtype=torch.uint8), torch.arange(4), batch_size=2, shuffle=True
    )
    prefetcher = DevicePrefetcher(loader, "cpu")
    prefetcher.set_epoch(5)
    assert loader.epoch == 5
    assert (prefetcher.batch_size, prefetcher.world_size) == (2, 1)
    with pytest.raises(AttributeError):
        _ = prefetcher.no_such_thing

"""Data larger than memory: pictures in tar files (WebDataset shards) that are read in a row.

A folder of a million pictures is a million small files, opened in random order. A **shard** holds a thousand pictures
in one file that is read from its beginning to its end, which suits disks and networks, and no more than a few pictures
are in memory at a time. The price is the order. Pictures cannot be drawn at random from a stream, so the order is mixed
three times: once and for all when the shards are written, then the order of the shards in every epoch, then a buffer
from which the next picture is drawn at random.

The format is that of the `webdataset` package: pictures as they are, `000000042.jpg`, beside the number of their class,
`000000042.cls`. An `index.json` lists classes, counts and checksums, so that a loader knows its length.

Taught in appendix A1.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info
from torchvision.transforms import v2

from clslab import seeds
from clslab.data.images import ImageDataset, Transform, decode, from_folder

INDEX = "index.json"
SCHEMA = 1
SPLITS = ("train", "val", "test")
WHOLE = "all"
"""Name of the one split of a folder that holds class folders directly."""


class ShardError(ValueError):
    """Shards that are broken or are not those of their index; the message names the file."""


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Attributes:
        name: of the file, below the index.
        count: pictures in it.
        bytes: its size.
        sha256: of the file.
    """

    name: str
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds.

    Attributes:
        folder: where it lies.
        classes: names of the classes, in the order of their numbers.
        splits: the shards of each split.
        per_class: pictures of each class, in the order of the classes, per split.
    """

    folder: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[Shard, ...]]
    per_class: dict[str, tuple[int, ...]]

    def count(self, split: str) -> int:
        """Pictures of a split."""
        return sum(shard.count for shard in self.splits[split])

    def describe(self) -> str:
        """Splits, pictures and shards in one line."""
        parts = [f"{name}: {self.count(name):,} pictures in {len(found)} shards" for name, found in self.splits.items()]
        return f"{'; '.join(parts)}; {len(self.classes)} classes"

    @classmethod
    def read(cls, folder: str | Path) -> Index:
        """The index of a folder of shards.

        Raises:
            FileNotFoundError: if there is none.
            ShardError: if it is no index.
        """
        path = Path(folder) / INDEX
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no {path}; make shards with: python -m clslab data shard FOLDER {Path(folder).name}"
            )
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            if body["schema"] != SCHEMA:
                raise ValueError(f"its schema is {body['schema']}, not {SCHEMA}")
            splits = {name: tuple(Shard(**one) for one in found) for name, found in body["splits"].items()}
            per_class = {name: tuple(counts) for name, counts in body["per_class"].items()}
            return cls(path.parent, tuple(body["classes"]), splits, per_class)
        except (KeyError, TypeError, ValueError) as error:
            raise ShardError(f"{path} is no index of shards ({error}); make the shards again") from error


def write(
    folder: str | Path,
    destination: str | Path,
    *,
    per_shard: int = 1000,
    seed: int = 0,
    check: bool = True,
    say: Callable[[str], Any] = print,
) -> Index:
    """Packs class folders of pictures into shards. The files are copied byte for byte, in a random order.

    Args:
        folder: holds one folder of pictures per class, or such folders in `train/`, `val/` and `test/`.
        destination: a new folder. The index is written last: without one the shards are not complete.
        per_shard: pictures per shard. Keep several shards per process that reads.
        seed: of the order. The same pictures and seed give the same files.
        check: decode every picture first, so that a broken one is found now and not in the middle of a training.
        say: takes a line per split.

    Returns:
        The index.

    Raises:
        FileNotFoundError: if there is no such folder.
        BadImageError: if a picture is broken; the message names it.
        ValueError: if `per_shard` is less than 1, the destination holds an index already or lies in the folder, or
            the folder does not hold classes of pictures.

    Taught in appendix A1.
    """
    source, target = Path(folder), Path(destination)
    if per_shard < 1:
        raise ValueError(f"per_shard = {per_shard}; a shard holds at least 1 picture, and usually about a thousand")
    if (target / INDEX).exists():
        raise ValueError(f"{target} holds shards already; remove it, or choose another folder")
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}, whose folders are classes; choose a folder outside")
    datasets = _splits_of(source)
    target.mkdir(parents=True, exist_ok=True)
    splits, per_class = {}, {}
    for name, dataset in datasets.items():
        splits[name] = tuple(_write_split(dataset, target, name, per_shard, seed, check))
        per_class[name] = tuple(np.bincount(dataset.targets, minlength=len(dataset.classes)).tolist())
        say(f"{name}: {len(dataset):,} pictures in {len(splits[name])} shards")
    index = Index(target, next(iter(datasets.values())).classes, splits, per_class)
    body = {"schema": SCHEMA, **{key: value for key, value in asdict(index).items() if key != "folder"}}
    unfinished = target / f"{INDEX}.part"
    unfinished.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(target / INDEX)
    return index


def open(  # noqa: A001 (always called as `shards.open`)
    destination: str | Path,
    split: str | None = None,
    *,
    batch_size: int,
    transform: Transform | None = None,
    shuffle_buffer: int = 0,
    workers: int = 0,
    drop_last: bool = False,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> ShardLoader:
    """A loader over the pictures of a split, with a length, that `clslab.train.fit` takes.

    Args:
        destination: the folder of shards.
        split: "train", "val" or "test"; `None` where there is one only.
        batch_size: pictures per batch and process; the last batch may be smaller.
        transform: from an RGB `PIL.Image` to a tensor; by default float in [0, 1], for pictures of one size.
        shuffle_buffer: 0 keeps the order in which the shards were written. Otherwise the shards come in another order
            in every epoch, and each picture is drawn from a buffer of this many (undecoded) ones per worker.
        workers: processes that decode in the background; 0 decodes in this one.
        drop_last: leave out the last batch if it is smaller.
        seed: of the order.
        rank: number of this process of a distributed training.
        world_size: number of its processes. When shuffling, each gets equally many pictures (up to `world_size - 1`
            are left out, others in every epoch); without, every picture goes to one process.

    Raises:
        FileNotFoundError: if there are no shards.
        ValueError: if an argument is out of range, or there is no such split.

    Taught in appendix A1.
    """
    index = Index.read(destination)
    if split is None and len(index.splits) == 1:
        split = next(iter(index.splits))
    if split not in index.splits:
        raise ValueError(f"split = {split!r} is none of these shards; choose one of {', '.join(index.splits)}")
    if batch_size < 1 or shuffle_buffer < 0 or workers < 0 or not 0 <= rank < world_size:
        raise ValueError(
            f"batch_size {batch_size}, shuffle_buffer {shuffle_buffer}, workers {workers}, rank {rank} of "
            f"{world_size}: give at least 1, 0, 0, and a rank from 0 below world_size"
        )
    stream = _Stream(index, split, batch_size, transform or _PLAIN, shuffle_buffer, drop_last, seed, rank, world_size)
    if len(stream) == 0:
        raise ValueError(
            f"{index.count(split)} pictures for {world_size} processes give no batch of {batch_size}; "
            "give a smaller batch_size, or drop_last=False"
        )
    return ShardLoader(stream, workers)


def verify(destination: str | Path) -> Index:
    """Compares every shard with its checksum.

    Returns:
        The index, when all is well.

    Raises:
        FileNotFoundError: if the index or a shard is missing.
        ShardError: if a shard is not the one that was written; the message names it.
    """
    index = Index.read(destination)
    for shard in (one for found in index.splits.values() for one in found):
        if _sha256(_path(index, shard)) != shard.sha256:
            raise ShardError(f"{shard.name} is not the file that was written (its sha256 differs); copy it again")
    return index


class ShardLoader:
    """Batches `(inputs, targets)` from shards; made by `open`.

    Every iteration is the next epoch, unless `set_epoch` says which one it is: the order depends on seed and epoch (and
    on the number of workers) alone.

    Attributes:
        classes: names of the classes.
        count: pictures that this process sees in an epoch.
        batch_size: pictures per batch.
        rank: number of this process.
        world_size: number of processes that share the pictures.
    """

    def __init__(self, stream: _Stream, workers: int) -> None:
        self._stream, self._workers = stream, workers
        self.epoch, self._announced = 0, False
        self.classes = stream.index.classes
        self.count = stream.stop - stream.start
        self.batch_size = stream.batch_size
        self.rank, self.world_size = stream.rank, stream.world_size

    def __len__(self) -> int:
        return len(self._stream)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is."""
        self.epoch, self._announced = epoch, True

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch
        if not self._announced:
            self.epoch += 1
        self._stream.epoch = epoch
        batches: DataLoader[Any] = DataLoader(
            self._stream,
            batch_size=None,  # the stream makes the batches
            num_workers=self._workers,
            generator=seeds.generator((self._stream.seed + epoch) % 2**32),
            worker_init_fn=seeds.worker_init,
        )
        return iter(batches)


class _Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """The pictures of one process, in batches; each worker reads a part of its own.

    The shards of an epoch, one after the other, are one long row of pictures. A process gets a piece of that row, and
    each of its workers a piece of the piece that is a whole number of batches (the last one's apart). So the number of
    batches is known, and a shard is opened by more than one reader only where a piece ends within it.
    """

    def __init__(
        self,
        index: Index,
        split: str,
        batch_size: int,
        transform: Transform,
        shuffle_buffer: int,
        drop_last: bool,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.index, self.split, self.batch_size, self.transform = index, split, batch_size, transform
        self.shuffle_buffer, self.drop_last, self.seed = shuffle_buffer, drop_last, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        count = index.count(split)
        if shuffle_buffer:  # equally many, since processes that train together take equally many steps
            each = count // world_size
            self.start, self.stop = rank * each, (rank + 1) * each
        else:
            self.start, self.stop = count * rank // world_size, count * (rank + 1) // world_size
        if drop_last:
            self.stop -= (self.stop - self.start) % batch_size

    def __len__(self) -> int:
        return math.ceil((self.stop - self.start) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        first, last = len(self) * worker // workers, len(self) * (worker + 1) // workers
        start = self.start + first * self.batch_size
        samples = self._samples(start, min(self.start + last * self.batch_size, self.stop))
        if self.shuffle_buffer:
            mixer = random.Random(f"{self.seed}/{self.epoch}/{start}")
            samples = _webdataset().shuffle(self.shuffle_buffer, initial=self.shuffle_buffer, rng=mixer)(samples)
        items = (self._item(sample) for sample in samples)
        while batch := list(islice(items, self.batch_size)):
            inputs, targets = default_collate(batch)
            yield inputs, targets

    def _samples(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """The undecoded pictures from `start` to `stop` of this epoch's row."""
        order = list(self.index.splits[self.split])
        if self.shuffle_buffer:
            random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
        begin = 0
        for shard in order:
            end = begin + shard.count
            if begin < stop and end > start:
                yield from _read(self.index, shard, max(start - begin, 0), min(stop, end) - begin)
            begin = end

    def _item(self, sample: dict[str, Any]) -> tuple[Any, int]:
        """A picture, transformed, and its class."""
        name = f"{sample['__key__']} in {sample['__url__']}"
        suffixes = [key for key in sample if not key.startswith("__") and key != "cls"]
        if len(suffixes) != 1 or "cls" not in sample:
            raise ShardError(f"{name} is not one picture with its class; make the shards again")
        picture = decode(io.BytesIO(sample[suffixes[0]]), name)
        return self.transform(picture), int(sample["cls"])


_PLAIN = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])


def _splits_of(folder: Path) -> dict[str, ImageDataset]:
    """The pictures of each split of a folder; the classes are those of the first one."""
    names = [name for name in SPLITS if (folder / name).is_dir()]
    if not names:
        return {WHOLE: from_folder(folder)}
    first = from_folder(folder / names[0])
    return {names[0]: first, **{name: from_folder(folder / name, classes=first.classes) for name in names[1:]}}


def _write_split(
    dataset: ImageDataset, target: Path, split: str, per_shard: int, seed: int, check: bool
) -> Iterator[Shard]:
    order = np.random.default_rng(seed).permutation(len(dataset))  # or each shard would hold one class
    for number, begin in enumerate(range(0, len(order), per_shard)):
        path = target / f"{split}-{number:06d}.tar"
        chosen = order[begin : begin + per_shard].tolist()
        _write_shard(dataset, path, chosen, begin, check)
        yield Shard(path.name, len(chosen), path.stat().st_size, _sha256(path))


def _write_shard(dataset: ImageDataset, path: Path, chosen: Sequence[int], begin: int, check: bool) -> None:
    # A fixed date and owner: the same pictures give the same file.
    with path.open("wb") as stream, _webdataset().TarWriter(stream, mtime=0, user="", group="") as tar:
        for place, index in enumerate(chosen, start=begin):
            source = dataset.sources[index]
            if not isinstance(source, Path):
                raise ValueError(f"{dataset.ids[index]} is no file; shards are made from folders of pictures")
            if check:
                decode(source, source)
            suffix, target = source.suffix[1:].lower(), str(dataset.targets[index])
            tar.write({"__key__": f"{place:09d}", suffix: source.read_bytes(), "cls": target.encode()})


def _read(index: Index, shard: Shard, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """The samples `start` to `stop` of one shard."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    _webdataset()
    seen = 0
    with _path(index, shard).open("rb") as stream:
        samples = group_by_keys(tar_file_expander([{"url": shard.name, "stream": stream}]))
        while seen < stop:
            try:
                sample = next(samples, None)
            except Exception as error:  # whatever tarfile or webdataset says about a broken file
                raise ShardError(
                    f"{shard.name} cannot be read after its picture {seen} ({error}); copy or make it again"
                ) from error
            if sample is None:
                raise ShardError(
                    f"{shard.name} ends after {seen} of {shard.count} pictures; it was cut off: copy or make it again"
                )
            seen += 1
            if seen > start:
                yield sample


def _path(index: Index, shard: Shard) -> Path:
    path = index.folder / shard.name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, though the index lists it; copy it again")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _webdataset() -> ModuleType:
    try:
        import webdataset
    except ModuleNotFoundError as error:
        raise ValueError("shards need the package webdataset; install it with: pip install 'clslab[shards]'") from error
    module: ModuleType = webdataset
    return module

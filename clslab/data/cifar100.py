"""Reader of `cifar100`: 60,000 pictures of 32 by 32 pixels, in the layout that the authors published for Python.

    cifar-100-python/{train,test,meta}      pickles: pixels, fine and coarse labels, names

The order of the pictures in those files does not matter here: each half is sorted by the sha256 of its pictures, and
everything that is chosen or numbered follows from that. Two copies that differ in order give the same splits.

Taught in chapters 7 and 12.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from clslab.data import standins
from clslab.data.catalog import card, data_root
from clslab.data.images import ImageDataset
from clslab.data.splits import long_tail_counts

if TYPE_CHECKING:
    from clslab.taxonomy import Taxonomy

VARIANTS: tuple[str | None, ...] = (None, "long-tail-100", "long-tail-10")
LONG_TAILS = {"long-tail-100": 0.01, "long-tail-10": 0.1}
"""Pictures of the smallest class over those of the largest, in training."""

SMOKE_SIZES = {"train": 1000, "val": 200, "test": 200}  # a few of each of a hundred classes

SIDE = 32
VAL_SHARE = 0.1

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""The twenty coarse classes in the authors' order, each with its five fine ones."""

CLASSES = tuple(sorted(fine for names in SUPERCLASSES.values() for fine in names))
"""The hundred fine classes in the order of their numbers, which is alphabetical."""

_COARSE_OF = {fine: coarse for coarse, names in SUPERCLASSES.items() for fine in names}


def read(folder: Path, *, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """The authors' test pictures as test; of their training pictures 50 of each class as val, the rest as train.

    Which ones is decided by a hash of the picture and of the seed. A long-tailed variant thins out train alone.

    Raises:
        ValueError: if a file is not what the authors published, whatever the order of its pictures.
    """
    _check_names(folder / "meta")
    known, test = _read_half(folder / "train"), _read_half(folder / "test")
    train, val = _cut(known, seed)
    if variant is not None:
        train = _long_tail(train, known.targets, LONG_TAILS[variant])
    return {
        "train": known.dataset("train", np.sort(train)),
        "val": known.dataset("train", np.sort(val)),
        "test": test.dataset("test", np.arange(len(test.targets))),
    }


def stand_in(*, variant: str | None = None, seed: int = 0) -> dict[str, ImageDataset]:
    """Drawings in a hundred classes of the same names, with the same tree above them."""
    fine_of = [[CLASSES.index(name) for name in names] for names in SUPERCLASSES.values()]
    parts = standins.cifar100(fine_of, CLASSES, seed=seed)
    if variant is not None:
        targets = parts["train"].targets
        chosen = _long_tail(np.arange(len(targets)), targets, LONG_TAILS[variant])
        parts["train"] = parts["train"].subset(np.sort(chosen))
    return parts


def taxonomy(_variant: str | None = None) -> Taxonomy:
    """Twenty coarse classes above a hundred fine ones, in every variant."""
    from clslab.taxonomy import Taxonomy

    return Taxonomy.from_paths([(_COARSE_OF[fine], fine) for fine in CLASSES])


# ---------------------------------------------------------------- duplicates


@dataclass(frozen=True)
class Duplicates:
    """Groups of pictures whose pixels are all equal; each picture as "NUMBER CLASS", NUMBER its id.

    Attributes:
        train: groups inside the 50,000 pictures for training and validation.
        test: groups inside the 10,000 pictures for test.
        across: groups with pictures in both.

    Taught in chapter 11.
    """

    train: tuple[tuple[str, ...], ...]
    test: tuple[tuple[str, ...], ...]
    across: tuple[tuple[str, ...], ...]

    @property
    def contradictory(self) -> tuple[tuple[str, ...], ...]:
        """The groups whose pictures have different classes."""
        found = (*self.train, *self.test, *self.across)
        return tuple(group for group in found if len({item.split()[1] for item in group}) > 1)

    def describe(self) -> str:
        """One line of counts."""
        return (
            f"groups of equal pictures: {len(self.train)} in train, {len(self.test)} in test, "
            f"{len(self.across)} in both, {len(self.contradictory)} with contradictory classes"
        )


def duplicates(root: str | Path | None = None) -> Duplicates:
    """Pictures of the real set that occur more than once, equal in every pixel.

    What is merely similar is not found: Barz and Denzler compared features, looked at the nearest pairs, and counted
    about a tenth of the test pictures with a near-duplicate in the training set. Their corrected test set is ciFAIR.
    This function looks at pixels and labels of the test pictures and trains nothing on them.

    Args:
        root: folder of the data sets; by default as for `clslab.data.load`.

    Raises:
        FileNotFoundError: if the set is not there.

    Source: arXiv:1902.00423. Taught in chapter 11.
    """
    entry = card("cifar100")
    folder = data_root(root) / entry.folder
    if not all((folder / marker).is_file() for marker in entry.markers):
        raise FileNotFoundError(f"there is no cifar100 in {folder}; fetch it with `python -m clslab data get cifar100`")
    places: dict[str, list[tuple[str, str]]] = {}
    for name in ("train", "test"):
        half = _read_half(folder / name)
        for item, target, digest in zip(half.ids(name), half.targets, half.digests.tolist(), strict=True):
            places.setdefault(digest, []).append((name, f"{item} {CLASSES[target]}"))
    groups: dict[str, list[tuple[str, ...]]] = {"train": [], "test": [], "across": []}
    for _, found in sorted(places.items()):
        halves = {name for name, _ in found}
        if len(found) > 1:
            groups["across" if len(halves) > 1 else halves.pop()].append(tuple(item for _, item in found))
    return Duplicates(**{kind: tuple(members) for kind, members in groups.items()})


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Half:
    """Training or test pictures, sorted by their sums (equal pictures by their class)."""

    images: NDArray[np.uint8]  # [N, 32, 32, 3]
    targets: NDArray[np.int64]
    digests: NDArray[np.bytes_]  # sha256 in hexadecimal

    def ids(self, name: str) -> list[str]:
        return [f"{name}/{number:05d}" for number in range(len(self.targets))]

    def dataset(self, name: str, indices: NDArray[np.int64]) -> ImageDataset:
        ids = self.ids(name)
        # Views, so that training and validation pictures are in memory once.
        images = [self.images[index] for index in indices]
        return ImageDataset(images, self.targets[indices], CLASSES, ids=[ids[index] for index in indices])


def _read_half(path: Path) -> _Half:
    stored = _unpickle(path)
    missing = [key for key in ("data", "fine_labels", "coarse_labels") if key not in stored]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; {_AGAIN}")
    pixels, fine, coarse = stored["data"], _labels(path, stored["fine_labels"]), stored["coarse_labels"]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(fine), 3 * SIDE**2):
        raise ValueError(
            f"{path} does not hold one row of {3 * SIDE**2} bytes for each of its {len(fine)} labels; {_AGAIN}"
        )
    numbers = list(SUPERCLASSES)
    if list(coarse) != [numbers.index(_COARSE_OF[CLASSES[label]]) for label in fine]:
        raise ValueError(f"{path}: its coarse labels are not those of its fine ones; {_AGAIN}")
    digests = np.array([hashlib.sha256(row).hexdigest() for row in np.ascontiguousarray(pixels)], dtype="S64")
    order = np.lexsort((fine, digests))
    # Torch turns channels × pixels into pixels × channels several times faster than numpy.
    images = torch.from_numpy(pixels[order]).reshape(-1, 3, SIDE, SIDE).permute(0, 2, 3, 1).contiguous().numpy()
    return _Half(images, fine[order], digests[order])


def _labels(path: Path, stored: Any) -> NDArray[np.int64]:
    labels = np.asarray(stored)
    if labels.ndim != 1 or labels.dtype.kind != "i" or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"{path}: its fine labels are not numbers from 0 to {len(CLASSES) - 1}; {_AGAIN}")
    return labels.astype(np.int64)


def _check_names(path: Path) -> None:
    """The names in `meta` are those that this file knows, in the same order."""
    stored = _unpickle(path)
    for key, names in (("fine_label_names", list(CLASSES)), ("coarse_label_names", list(SUPERCLASSES))):
        if stored.get(key) != names:
            raise ValueError(f"{path}: {key} are not the names of CIFAR-100 in their order; {_AGAIN}")


_AGAIN = "fetch the set again with `python -m clslab data get cifar100`"


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2: as a text, to be encoded."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    # How numpy rebuilds an array; the module has had two names.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, lists, tables and arrays of numbers, and refuses everything else.

    A pickle may name any function of any installed package, to be called while it is read: one from a stranger can do
    whatever its reader may do. The files of CIFAR-100 need three things, all of them numpy's, and copies that were
    written by Python 3 need a fourth.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _unpickle(path: Path) -> dict[str, Any]:
    """The table in one of the three files."""
    try:
        with path.open("rb") as stream:
            # Python 2 wrote them; as latin1 its byte strings become texts, and arrays keep their bytes.
            stored = _PlainUnpickler(stream, encoding="latin1").load()
    # A file cut short or overwritten fails in whatever way its bytes happen to suggest.
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of CIFAR-100 ({error}), and was not read further; {_AGAIN}") from error
    if not isinstance(stored, dict):
        raise ValueError(f"{path} holds a {type(stored).__name__}, not a table; {_AGAIN}")
    return stored


# ---------------------------------------------------------------- choosing


def _cut(half: _Half, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of train and val, class by class in an order that the pictures and the seed decide.

    Equal pictures of one class have equal numbers, so they come one after the other.
    """
    lot = np.array([hashlib.sha256(b"%d %s" % (seed, digest)).hexdigest() for digest in half.digests], dtype="S64")
    order = np.lexsort((lot, half.targets))
    train, val = [], []
    for members in _by_class(half.targets[order]):
        size = round(VAL_SHARE * len(members))
        val.append(order[members[:size]])
        train.append(order[members[size:]])
    return np.concatenate(train), np.concatenate(val)


def _long_tail(
    indices: NDArray[np.int64], targets: NDArray[np.int64], smallest_over_largest: float
) -> NDArray[np.int64]:
    """The first of `indices` of each class, fewer from class to class (arXiv:1901.05555)."""
    members = [indices[places] for places in _by_class(targets[indices])]
    counts = long_tail_counts(min(map(len, members)), len(CLASSES), smallest_over_largest)
    return np.concatenate([group[:count] for group, count in zip(members, counts, strict=True)])


def _by_class(targets: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return (np.flatnonzero(targets == label) for label in range(len(CLASSES)))

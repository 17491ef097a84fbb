"""A set of labelled pictures: files, arrays or drawings behind one small interface.

Taught in chapter 1.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from clslab.data import transforms
from clslab.data.items import check_items

Source = Path | np.ndarray | Callable[[], np.ndarray]
Transform = Callable[[Any], Any]

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# What file managers and careful people leave beside pictures: harmless, so left out and said.
BYSTANDERS = frozenset({".csv", ".db", ".ini", ".json", ".md", ".toml", ".txt", ".xml", ".yaml"})


class BadImageError(ValueError):
    """A file that cannot be read as a picture; the message names it."""


class ImageDataset(Dataset[tuple[Any, int]]):
    """Labelled pictures, decoded when asked for.

    Args:
        sources: one per picture: the path of a file, a uint8 array `[H, W, 3]` or `[H, W]`, or a
            function without arguments that returns such an array (a drawing made on demand).
        targets: class number of each picture, 0 to `len(classes) - 1`.
        classes: the names of the classes.
        transform: applied to the RGB `PIL.Image` of each item. Without one the item is that picture.
        groups: what belongs together (an object, a module, a recording), one value per picture.
        ids: a name per picture, unique and the same on every machine; by default its number.
        extra: further columns, one value per picture, such as the material.

    Raises:
        ValueError: if there is no picture, if lengths differ, or a target is no class.

    Taught in chapter 1.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        targets: Sequence[int] | np.ndarray,
        classes: Sequence[str],
        *,
        transform: Transform | None = None,
        groups: Sequence[Any] | np.ndarray | None = None,
        ids: Sequence[str] | None = None,
        extra: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.sources = list(sources)
        self.targets = np.asarray(targets, dtype=np.int64)
        self.classes = tuple(classes)
        self.transform = transform
        self.groups = None if groups is None else np.asarray(groups)
        self.ids = [str(i) for i in range(len(self.sources))] if ids is None else list(ids)
        self.extra = {name: np.asarray(column) for name, column in (extra or {}).items()}
        self._check()

    def _check(self) -> None:
        columns = {"targets": self.targets, "ids": self.ids, "groups": self.groups, **self.extra}
        check_items(
            len(self.sources), columns, self.targets, self.classes, of="an ImageDataset of no pictures", one="picture"
        )

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = self.image(index)
        item = picture if self.transform is None else self.transform(picture)
        return item, int(self.targets[index])

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return (self[i] for i in range(len(self)))

    def image(self, index: int) -> Image.Image:
        """The picture at `index` as 8-bit RGB, untransformed.

        Raises:
            BadImageError: if its file is broken, is no picture, or has more than 8 bits a channel.
        """
        source = self.sources[index]
        if isinstance(source, Path):
            return decode(source, source)
        array = source if isinstance(source, np.ndarray) else source()
        return Image.fromarray(array).convert("RGB")

    def subset(self, indices: Sequence[int] | np.ndarray) -> "ImageDataset":
        """The pictures at `indices`, in that order, with their labels, groups, ids and columns."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageDataset(
            [self.sources[i] for i in chosen],
            self.targets[chosen],
            self.classes,
            transform=self.transform,
            groups=None if self.groups is None else self.groups[chosen],
            ids=[self.ids[i] for i in chosen],
            extra={name: column[chosen] for name, column in self.extra.items()},
        )

    def with_transform(self, transform: Transform | None) -> "ImageDataset":
        """The same pictures under another transform (shared, not copied)."""
        return self._like(self.sources, transform)

    def cache_pixels(self, size: int, geometry: str = "resize") -> "ImageDataset":
        """Decode every picture once into memory, at the geometry in which it will be used.

        What is slow about small experiments is decoding and shrinking photographs again every
        epoch. Afterwards only the cheap end of a transform is left: where the picture has the
        right size already, its resizing does nothing.

        Args:
            size: side in pixels.
            geometry: `resize`, `center-crop`, `resize-crop` (as in `transforms.photo`) or
                `short-side` (short side to `size`, nothing cut off, for random crops later).

        Returns:
            A dataset in memory; `3 * size**2` bytes a picture (more for `short-side`).

        Raises:
            ValueError: if the geometry is unknown or random (it would be frozen).
        """
        to_size = transforms.geometry(geometry, size=size)
        pixels = [np.asarray(to_size(self.image(i))) for i in range(len(self))]
        return self._like(pixels, self.transform)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All pictures in memory at once, untransformed, for loaders that take whole batches.

        Returns:
            Pictures, uint8 `[N, 3, H, W]`, and their classes, int64 `[N]`.

        Raises:
            ValueError: if the pictures do not all have one size.
            BadImageError: if a file cannot be read.

        Taught in chapter 8.

        >>> grey = ImageDataset([np.zeros((4, 6), dtype=np.uint8)], [0], ["nothing"])
        >>> grey.tensors()[0].shape
        torch.Size([1, 3, 4, 6])
        """
        pixels = [_pixels(self, index) for index in range(len(self))]
        sizes = {one.shape for one in pixels}
        if len(sizes) > 1:
            a, b = sorted(sizes)[:2]
            raise ValueError(
                f"these pictures have several sizes, such as {a[1]} × {a[0]} and {b[1]} × {b[0]}, and one tensor holds "
                "one size; bring them to one first, with cache_pixels(size)"
            )
        stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
        return stacked, torch.from_numpy(self.targets.copy())

    def _like(self, sources: Sequence[Source], transform: Transform | None) -> "ImageDataset":
        return ImageDataset(
            sources,
            self.targets,
            self.classes,
            transform=transform,
            groups=self.groups,
            ids=self.ids,
            extra=self.extra,
        )


def _pixels(dataset: ImageDataset, index: int) -> np.ndarray:
    """The picture at `index`, `[H, W, 3]`; one that is such an array already is not sent through PIL and back."""
    source = dataset.sources[index]
    if isinstance(source, np.ndarray) and source.ndim == 3 and source.dtype == np.uint8:
        return source
    return np.asarray(dataset.image(index))


def from_folder(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    transform: Transform | None = None,
) -> ImageDataset:
    """Read a folder that holds one folder of pictures per class.

    Args:
        path: the folder. Class folders may hold folders; hidden files and folders are left out.
        classes: the names expected, in the order in which they shall be numbered (those of the
            training set, say); by default the names found, sorted.
        transform: see `ImageDataset`.

    Returns:
        A dataset whose ids are the paths inside the folder, with forward slashes.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds fewer than two class folders or other ones than `classes`, if one
            of them is empty, or if a file is neither a picture nor a harmless bystander.

    Taught in chapter 1.
    """
    root = Path(path)
    names = _class_folders(root, classes)
    sources: list[Path] = []
    targets: list[int] = []
    ignored: list[str] = []
    for number, name in enumerate(names):
        pictures = _pictures(root / name, ignored)
        sources += pictures
        targets += [number] * len(pictures)
    if ignored:
        shown = ", ".join(ignored[:3]) + (", …" if len(ignored) > 3 else "")
        print(f"{root.name}: {len(ignored)} file(s) that are no pictures left out ({shown})")
    ids = [source.relative_to(root).as_posix() for source in sources]
    return ImageDataset(sources, targets, names, transform=transform, ids=ids)


def _class_folders(root: Path, expected: Sequence[str] | None) -> list[str]:
    if not root.exists():
        raise FileNotFoundError(f"there is no folder {root}; check the path")
    if not root.is_dir():
        raise ValueError(f"{root} is a file; give the folder that holds one folder per class")
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise ValueError(
            f"{root} holds no class folders; put the pictures of each class into a folder "
            "of its own, such as cat/ and dog/"
        )
    if len(found) == 1:
        raise ValueError(
            f"{root} holds a single class folder ({found[0]}); a classifier needs at least two. "
            "Perhaps you meant the folder above or below it"
        )
    if expected is None:
        return found
    if set(found) != set(expected):
        raise ValueError(
            f"{root} holds the class folders {', '.join(found)}, "
            f"but {', '.join(expected)} were expected; rename or add folders until they agree"
        )
    return list(expected)


def _pictures(folder: Path, ignored: list[str]) -> list[Path]:
    """The picture files of one class, sorted; bystanders go into `ignored`."""
    pictures: list[Path] = []
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        if not file.is_file() or any(part.startswith(".") for part in inside.parts[:-1]):
            continue
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            pictures.append(file)
        elif file.name.startswith(".") or file.suffix.lower() in BYSTANDERS:
            ignored.append(f"{folder.name}/{inside.as_posix()}")
        else:
            raise ValueError(
                f"{file} is no picture this reader knows ({', '.join(sorted(IMAGE_SUFFIXES))}); "
                "convert it to PNG or JPEG, or move it away"
            )
    if not pictures:
        raise ValueError(f"the class folder {folder} holds no pictures; add some, or remove the folder")
    return pictures


def decode(source: Path | IO[bytes], name: object) -> Image.Image:
    """A picture from a file or from bytes in memory, as 8-bit RGB.

    Args:
        source: the file.
        name: what to call it in an error.

    Raises:
        FileNotFoundError: if there is no such file.
        BadImageError: if it is broken, is no picture, or has more than 8 bits a channel.
    """
    try:
        with Image.open(source) as opened:
            if opened.mode.startswith(("I", "F")):
                raise ValueError(f"its mode is {opened.mode}, more than 8 bits a channel")
            # Cameras store which way is up beside the pixels.
            return ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError:
        raise
    # Pillow reports a broken file in several ways, depending on the format.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImageError(
            f"{name} cannot be read as a picture ({error}); replace it, convert it to an 8-bit "
            "PNG or JPEG, or remove it"
        ) from error

"""The recipes that come with the library, by name: `cifar100/minutes` is `cifar100/minutes.toml` in this folder."""

from __future__ import annotations

import difflib
from pathlib import Path

from clslab.recipe import Recipe

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The recipes that come with the library, in alphabetical order.

    >>> "cifar100/minutes" in names()
    True
    """
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml"))


def read(source: str | Path) -> Recipe:
    """The recipe in a TOML file, or the one of that name in this folder.

    Args:
        source: a path that ends in .toml, or one of `names()`.

    Raises:
        FileNotFoundError: if there is neither; the message names the nearest recipe.
        ValueError: if the file is no recipe; the message names the file.

    >>> read("cifar100/minutes").model
    'resnet9'
    """
    if str(source) in names():
        source = FOLDER / f"{source}.toml"
    elif Path(source).suffix != ".toml":
        near = difflib.get_close_matches(str(source), names(), n=1, cutoff=0.0)[0]
        raise FileNotFoundError(
            f"there is no recipe {str(source)!r}; name a file that ends in .toml, or one of {', '.join(names())} "
            f"(the nearest is {near!r})"
        )
    path = Path(source)
    try:
        return Recipe.from_toml(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error

"""The recipes that come with the library, by name: `cifar100/minutes` is `cifar100/minutes.toml` in this folder.

Taught in chapters 7 and 8.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clslab.recipe import Recipe

FOLDER = Path(__file__).parent

_BARE_WORD = re.compile(r"[A-Za-z][\w/.-]*")


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


def changed(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """A recipe with some of its fields changed, as `--set` on the command line does.

    Args:
        recipe: stays as it is.
        assignments: each `FIELD=VALUE`, the value as in TOML (a word alone is taken as text: `optimizer=adam`).
            `FIELD.OPTION=VALUE` changes one option of a table, and a table is merged into the one that is there.
            `FIELD=` takes the field back to its default.

    Raises:
        ValueError: if an assignment has no equals sign, a value is not TOML, or the recipe would be wrong.

    >>> recipe = changed(read("cifar100/minutes"), ["lr=0.1", "model_options.width=8", "label_smoothing="])
    >>> recipe.lr, recipe.model_options, recipe.label_smoothing
    (0.1, {'width': 8}, 0.0)
    """
    fields = recipe.to_dict()
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or not name:
            raise ValueError(f"--set {assignment}: write FIELD=VALUE, such as lr=0.05")
        field, *options = name.split(".")
        value = _value(assignment, text)
        if text and options:
            for option in reversed(options):
                value = {option: value}
        elif options:
            raise ValueError(f"--set {assignment}: only whole fields can be left out; give a value, or write {field}=")
        if not text:
            # An unknown field is kept, for the recipe to refuse.
            fields[field] = getattr(Recipe(), field, None)
        else:
            fields[field] = _merged(fields.get(field), value)
    try:
        return Recipe.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"--set: {error}") from error


def _value(assignment: str, text: str) -> Any:
    if not text:
        return None
    if _BARE_WORD.fullmatch(text) and text not in ("true", "false", "inf", "nan"):
        return text
    message = (
        f"--set {assignment}: {text} is no value as TOML writes it; text stands in quotes, a list in brackets, a "
        "table in braces"
    )
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        raise ValueError(message) from error
    if len(found) > 1:  # a line break, and another field below it
        raise ValueError(message)
    return found["value"]


def _merged(old: Any, new: Any) -> Any:
    """Tables are merged key by key; anything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: _merged(old.get(key), value) for key, value in new.items()}

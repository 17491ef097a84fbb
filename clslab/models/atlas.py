"""The atlas: what the files of the zoo say of their networks, as one table.

Each file of `clslab.models.zoo` has a table in its docstring. It is read here, not written a second time; that its
numbers are right is tested network by network.

Taught in the atlas of models (appendix A2).
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field

import pandas as pd

from clslab import models

PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
ROW = re.compile(
    r"(?:(?P<name>\w+)|\s+(?P<option>\w+) = (?P<value>\d+))\s.*\s(?P<parameters>[\d,]+)\s+(?P<mmac>[\d,]+)$"
)
"""A name, or an indented option of the name above; at the end of the line the two counts."""


@dataclass(frozen=True)
class Entry:
    """A row of a family's table.

    Attributes:
        name: what `clslab.models.create` takes.
        family: the file of `clslab.models.zoo`.
        paper: arXiv id, None where there is no paper.
        parameters: at 100 classes.
        mmac: millions of multiply-adds for one picture of 32 by 32 pixels.
        options: what makes it other than the full network, such as its width.
    """

    name: str
    family: str
    paper: str | None
    parameters: int
    mmac: int
    options: dict[str, int] = field(default_factory=dict)

    @property
    def year(self) -> int | None:
        """Of the paper's first version."""
        return None if self.paper is None else 2000 + int(self.paper[:2])


def entries() -> list[Entry]:
    """Every row of every family's table: each network at full size, and some of them narrower.

    Raises:
        ValueError: if a name has no row.

    >>> [entry.parameters for entry in entries() if entry.name == "resnet9"]
    [6619200, 1669152, 424464]
    """
    found = [entry for family in models.FAMILIES for entry in _of_family(family)]
    full = [entry.name for entry in found if not entry.options]
    for name in models.list_models():
        if full.count(name) != 1:
            raise ValueError(f"{name} has {full.count(name)} rows in the table at the top of its file; give it one")
    return found


def table() -> pd.DataFrame:
    """The networks at full size: family, year, paper, parameters and MMAC, by name.

    >>> table().loc["resnet18", "parameters"]
    np.int64(11220132)
    """
    full = [entry for entry in entries() if not entry.options]
    rows = [(one.family, one.year, one.paper, one.parameters, one.mmac) for one in full]
    names = pd.Index([one.name for one in full], name="name")
    columns = ["family", "year", "paper", "parameters", "MMAC"]
    return pd.DataFrame(rows, index=names, columns=columns).astype({"year": "Int64"})


def _of_family(family: str) -> list[Entry]:
    text = importlib.import_module(f"clslab.models.zoo.{family}").__doc__ or ""
    found: list[Entry] = []
    in_table = False
    for line in text.splitlines():
        row = ROW.match(line)
        in_table = in_table and row is not None  # a line of prose ends it
        if row is None:
            continue
        parameters, mmac = (int(row[part].replace(",", "")) for part in ("parameters", "mmac"))
        if row["name"] in models.FAMILIES[family]:
            paper = PAPER.search(line)
            found.append(Entry(row["name"], family, paper[1] if paper else None, parameters, mmac))
            in_table = True
        elif row["option"] and in_table:
            of = found[-1]
            options = {row["option"]: int(row["value"])}
            found.append(Entry(of.name, family, of.paper, parameters, mmac, options))
    return found

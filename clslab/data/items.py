"""What every labelled data set checks about its items, whether they are pictures or sounds.

Taught in chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_items(
    count: int, columns: Mapping[str, Any], targets: NDArray[np.int64], classes: Sequence[str], *, of: str, one: str
) -> None:
    """One value of every column per item, and a class for every target.

    Args:
        count: N, the number of sources.
        columns: columns by name; `None` for one that the set does not have.
        targets: [N] class numbers.
        classes: names of the classes.
        of: the data set in words, such as "an ImageDataset of no pictures", for the message about an empty one.
        one: an item in words.

    Raises:
        ValueError: if there is no item, a column has another length, or a target is no class.
    """
    if count == 0:
        raise ValueError(f"{of}; give at least one source")
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise ValueError(f"{count} sources but {len(column)} {name}; give one per {one}")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= len(classes):
        raise ValueError(
            f"target {low if low < 0 else high} is no class; {len(classes)} classes are numbered from 0: "
            f"{', '.join(classes)}"
        )

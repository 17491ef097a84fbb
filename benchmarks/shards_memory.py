"""How much memory does an epoch take from shards, and from pictures held in memory, while the set grows?

Every measurement is a fresh process: the largest amount of memory that it held during the epoch, less what it held
before it opened the data.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import interleaved
import numpy as np
import psutil
from PIL import Image

SIZES = (4_000, 8_000, 16_000)
SIDE = 96  # pixels
CLASSES = 4
BATCH = 128
BUFFER = 1_000
WAYS = ("shards", "in memory")
MEGABYTE = 1e6


def paint(folder: Path, count: int) -> Path:
    """Class folders of JPEGs of noise that is smooth enough to compress as photographs do."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(100):
        small = Image.fromarray(rng.integers(0, 256, (SIDE // 6, SIDE // 6, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, format="JPEG", quality=90)
        encoded.append(stream.getvalue())
    for number in range(count):
        path = folder / f"class{number % CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded[number % len(encoded)])
    return folder


def batches(way: str, place: Path) -> Iterable[Any]:
    """An epoch of the set in `place`, in one of the ways."""
    from clslab.data import images, shards
    from clslab.data.loading import BatchLoader

    if way == "in memory":
        pictures, targets = images.from_folder(place / "pictures").tensors()
        return BatchLoader(pictures, targets, batch_size=BATCH, shuffle=True)
    return shards.open(place / "packed", batch_size=BATCH, shuffle_buffer=BUFFER)


def held() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def child(way: str, place: Path) -> None:
    """Measures one way, in this process."""
    list(batches("shards", place.parent / "warm-up"))  # what imports and first calls hold is not the data's
    if way == "in memory":
        list(batches(way, place.parent / "warm-up"))
    gc.collect()
    before, most, seen = held(), 0, 0
    for inputs, _ in batches(way, place):
        most, seen = max(most, held()), seen + len(inputs)
    print(json.dumps({"megabytes": (most - before) / MEGABYTE, "pictures": seen}))


def measure(way: str, place: Path) -> float:
    """Megabytes that an epoch takes."""
    command = [sys.executable, __file__, "--child", way, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return float(found["megabytes"])


def main() -> None:
    from clslab.data import shards
    from clslab.device import choose

    options = interleaved.arguments(__doc__)
    sizes = SIZES[:2] if options.quick else SIZES
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for place, count in [(root / "warm-up", 200), *((root / str(size), size) for size in sizes)]:
            shards.write(paint(place / "pictures", count), place / "packed", check=False, say=str)
        found = {
            way: {
                size: round(
                    float(np.median([measure(way, root / str(size)) for _ in range(1 if options.quick else 3)])), 1
                )
                for size in sizes
            }
            for way in WAYS
        }
    interleaved.report(
        "shards_memory",
        {},
        machine=choose(),
        notes="Megabytes that an epoch adds to the process (median of three fresh processes), by pictures in the set; "
        f"JPEGs of {SIDE} × {SIDE} pixels, batches of {BATCH}, a shuffle buffer of {BUFFER} undecoded pictures.",
        record=options.record,
        megabytes=found,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--child", nargs=2)
    measured = parser.parse_known_args()[0].child
    if measured is None:
        main()
    else:
        child(measured[0], Path(measured[1]))

"""How long does a sweep take between two runs: from the last step of one to the first step of the next?

A sweep of short trainings on CIFAR-100 (or its stand-in) in one process, through the same command as every table of
the book. What lies between two fits is all that is not training: scoring validation and test, writing the record,
reading the pictures again, building the next network. It is taken from the records: the time at which each was written,
less that of the one before, less the seconds of its own fit. The aim is less than 3 seconds.

    python benchmarks/sweep_gap.py [--quick] [--record]
"""

from __future__ import annotations

import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import interleaved

from clslab.device import choose

AIM = 3.0
SWEEP = """
seeds = [{seeds}]

[defaults]
data = "cifar100"
subset = 50
model = "resnet9"
model_options = {{ width = 8 }}
train_part = "scratch"
pretrained = false
image_size = 32
epochs = 2
batch_size = 128
augment = "shift-flip"
optimizer = "sgd"
lr = 0.1
choose_epoch = false
precision = "fp32"

[runs."cifar100/gap/a"]

[runs."cifar100/gap/b"]
label_smoothing = 0.1
"""


def gaps(seeds: int) -> list[float]:
    """Seconds between the fits of two rows of so many seeds, in the order in which they ran."""
    with tempfile.TemporaryDirectory() as folder:
        file, results = Path(folder, "gap.toml"), Path(folder, "results")
        file.write_text(SWEEP.format(seeds=", ".join(map(str, range(seeds)))), encoding="utf-8")
        command = [sys.executable, "-m", "clslab", "sweep", str(file), "--results", str(results)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"CLSLAB_PROFILE": "cpu"})
        written = sorted((path.stat().st_mtime, path) for path in results.rglob("seed-?.json"))
        fits = [json.loads(path.read_text("utf-8"))["seconds_fit"] for _, path in written]
    if len(written) != 2 * seeds:
        raise SystemExit(f"{len(written)} of {2 * seeds} runs were recorded; see what `python -m clslab sweep` says")
    return [now - before - fit for (before, _), (now, _), fit in zip(written, written[1:], fits[1:], strict=False)]


def main() -> None:
    chosen = interleaved.arguments(__doc__)
    found = gaps(2 if chosen.quick else 6)
    result = {
        "benchmark": "sweep_gap",
        "ratios": {},
        "runs": len(found) + 1,
        "seconds_between": round(statistics.median(found), 2),
        "longest": round(max(found), 2),
        "aim": AIM,
        "machine": choose().describe(),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }
    print(json.dumps(result))
    interleaved.keep("sweep_gap", chosen.record, result)


if __name__ == "__main__":
    main()

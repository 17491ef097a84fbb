"""Where the numbers of a training run go: a log file, TensorBoard, a progress bar.

Taught in chapter 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from clslab import distributed


class _ClosedAtTheEnd(ABC):
    """A context manager that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Log(_ClosedAtTheEnd):
    """Lines that are printed and, all of them, written to a file.

    Args:
        path: appended to; `None` for no file.
        echo: print the lines too.

    Taught in chapter 2.
    """

    def __init__(self, path: str | Path | None = None, *, echo: bool = True) -> None:
        self.echo = echo
        self._file: TextIO | None = None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def __call__(self, line: str) -> None:
        """Print one line and write it, at once: a run that is killed leaves its log."""
        if self.echo:
            print(line)
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Reports(_ClosedAtTheEnd):
    """Where the numbers of an epoch go: a log, TensorBoard and a progress bar, each of them optional.

    Of several processes that train together the first one reports.

    Args:
        log: a path, or an open `Log`, which stays open.
        tensorboard: a folder for TensorBoard's files.
        progress: show a bar that counts epochs.
        epochs: how many epochs there will be.

    Raises:
        ImportError: if TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        log: str | Path | Log | None,
        tensorboard: str | Path | None,
        *,
        progress: bool,
        epochs: int,
    ) -> None:
        self._closing: list[Any] = []
        if not distributed.is_writer():
            log, tensorboard, progress = None, None, False
        self.log = log if isinstance(log, Log) else Log(log, echo=log is not None)
        if not isinstance(log, Log):
            self._closing.append(self.log)
        self.writer: Any = None
        if tensorboard is not None:
            self.writer = tensorboard_writer(tensorboard)
            self._closing.append(self.writer)
        self.bar: Any = None
        if progress:
            from tqdm import tqdm

            self.bar = tqdm(total=epochs, unit="epoch")
            self._closing.append(self.bar)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Report one epoch."""
        numbers = {name: value for name, value in record.items() if value is not None}
        self.log("  ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, int(record["epoch"]))
        if self.bar is not None:
            self.bar.update()

    def close(self) -> None:
        """Close what was opened here; a log that was given stays open."""
        for each in self._closing:
            each.close()


def tensorboard_writer(folder: str | Path) -> Any:
    """TensorBoard's `SummaryWriter` for a folder; close it at the end.

    Raises:
        ImportError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard= needs the package tensorboard; install it with "
            "pip install 'clslab[tensorboard]', or leave tensorboard= out"
        ) from error
    return SummaryWriter(str(folder))

"""The command line: `python -m clslab data|train|test|lr-find|transfer|sweep|score`.

Each group of commands is a module of `clslab.commands` with a function `register(subparsers)` that adds
its parser and sets `run`, a function from the parsed arguments to an exit code. A new group is a
module and a line in `GROUPS`. Registering loads no torch, so that `--help` answers at once.

Exit codes: 0 done, 2 a mistake that the message explains, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import clslab
from clslab.commands import data, lr_find, score, sweep, test, train, transfer

GROUPS = (data, train, test, lr_find, transfer, sweep, score)

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The parser with all groups of commands.

    >>> parser().parse_args(["data", "get", "debris"]).name
    'debris'
    """
    top = argparse.ArgumentParser(prog="clslab", description="Commands of the course.")
    top.add_argument("--version", action="version", version=f"clslab {clslab.__version__}")
    top.add_argument("--traceback", action="store_true", help="show where in the code an error arose")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in GROUPS:
        group.register(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; default those of the process.

    Returns:
        The exit code (see the module's text). A mistake is one message on stderr, without a traceback
        unless `--traceback` is given.
    """
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError) as error:  # FileNotFoundError is an OSError
        if args.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return EXIT_MISTAKE

"""A plugin of pytest: kernels are spoken to through files.

By default a kernel is given the numbers of ports that were free a second ago, and of two that start at once the other
may be faster to take one.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

PLACE = Path.cwd()
"""The folder of the run, which is removed after it."""


def manager(**traits: Any) -> KernelManager:
    """A kernel manager with a folder of its own for the files of its sockets."""
    return KernelManager(transport="ipc", ip=f"{tempfile.mkdtemp(prefix='kernel-', dir=PLACE)}/s", **traits)


if sys.platform != "win32":  # there kernels know ports alone
    nbval.kernel.KernelManager = manager

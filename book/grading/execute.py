"""Runs the cells of one hand-in, whatever they do: nbgrader's step of execution, made to survive its notebooks.

A cell that fails is an error in its output, and the next cell runs. A cell that takes too long is interrupted. One that
cannot be interrupted, or that ends the kernel, costs the kernel: a new one runs the cells before it again, without the
ones that ended it, and goes on behind it. So whatever one exercise does, the others keep their points.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.client import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.preprocessors import Execute

from book.grading import kernel

ROLE = "clslab"
"""Key in a cell's metadata under which its part in the sheet stands: `{"role": "given"}`."""

MOST_KERNELS = 6
"""After so many ended kernels the rest of a hand-in is not run."""

KERNEL_ENDED, TOO_LONG, NOT_RUN = "KernelEnded", "TooLong", "NotRun"
"""Names of the errors that stand in the output of a cell which Python did not fail."""

_MOST_OUTPUTS = 200


class SheetError(RuntimeError):
    """A cell of the sheet itself failed before anything of the student's ran: the marking is at fault."""


class RunHandIn(Execute):
    """Executes a rebuilt hand-in (`book.grading.reattach`) in kernels of its own.

    Args:
        plan: what the kernel is fenced in with, and which cells belong to the sheet.
        root: the repository.
        log: file for what the kernels themselves have to say.
    """

    def __init__(self, plan: kernel.Plan, *, root: Path, log: Path, **traits: Any) -> None:
        super().__init__(**traits)
        self.plan = plan
        self.root = root
        self.log_file = log
        self.restored: dict[int, list[str]] = {}
        """Index of a check -> the names that had to be put back for it."""
        self.iopub_timeout = 15
        self.startup_timeout = 60

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Runs every cell of the notebook, which is changed in place."""
        NotebookClient.__init__(self, nb, km)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        self._spent = 0.0
        self._students_turn = False
        self._ended = 0
        self._fatal: set[int] = set()
        self._ran: set[int] = set()
        self._group: int | None = None
        try:
            for index, cell in enumerate(nb.cells):
                if cell.cell_type == "code":
                    self._run(cell, index)
        finally:
            self._stop()
        return nb, self.resources

    def _run(self, cell: NotebookNode, index: int) -> None:
        """Runs one cell; afterwards its output says how it went."""
        cell.outputs = []
        if cell.metadata.get(ROLE, {}).get("role") == "measure" or not cell.source.strip():
            return
        if not self._given(cell) and self._left() < 1:
            seconds = self.plan.fence.limits.seconds
            self._blame(cell, NOT_RUN, f"not run: the hand-in's {seconds} seconds were used up before")
            return
        if not self._ready():
            self._blame(cell, NOT_RUN, f"not run: the notebook ended its kernel {self._ended} times before")
            return
        self._ran.add(index)
        try:
            self._execute(cell, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self._lost_to(index)
            if isinstance(error, DeadKernelError):
                why = "this cell ended the kernel (by exiting, or for want of memory or time)"
                self._blame(cell, KERNEL_ENDED, why)
            else:
                self._blame(cell, TOO_LONG, "stopped: it ran too long and could not be interrupted")
        self._settle(cell)
        self._look_at_sheet(cell)

    def _given(self, cell: NotebookNode) -> bool:
        return bool(cell.metadata.get(ROLE, {}).get("role") == "given")

    def _look_at_sheet(self, cell: NotebookNode) -> None:
        """Refuses to go on where the sheet does not even begin: every check after it would fail.

        Raises:
            SheetError: if a given cell failed, and nothing of the student's had run.
        """
        if not self._given(cell):
            self._students_turn = True
        errors = [one for one in cell.outputs if one.output_type == "error"]
        if errors and not self._students_turn:
            first = cell.source.strip().splitlines()[0][:60]
            raise SheetError(
                f"the sheet's own cell {first!r} failed here: {errors[-1].ename}: {errors[-1].evalue[:200]}"
            )

    def _lost_to(self, index: int) -> None:
        """Counts a kernel that a cell cost; the cell is not run again."""
        self._ended += 1
        self._fatal.add(index)
        self._stop()

    def _left(self) -> float:
        return self.plan.fence.limits.seconds - self._spent

    def _execute(self, cell: NotebookNode, index: int) -> None:
        limits, begun = self.plan.fence.limits, monotonic()
        given = self._given(cell)
        self.timeout = limits.given if given else max(1, min(limits.cell, int(self._left())))
        self.error_on_timeout = {
            "ename": TOO_LONG,
            "evalue": f"stopped after {self.timeout} seconds",
            "traceback": [],
        }
        try:
            # What a check asserts is nothing for the history, where a later cell could look it up.
            self.execute_cell(cell, index, store_history=not utils.is_grade(cell))
        finally:
            self._spent += 0.0 if given else monotonic() - begun

    def _ready(self) -> bool:
        """Sees to a kernel in which the cells before this one ran; false if too many were ended."""
        while self.kc is None:
            if self._ended >= MOST_KERNELS:
                return False
            self._start()
            for earlier in sorted(self._ran - self._fatal):
                cell = self.nb.cells[earlier]
                try:
                    self._execute(cell.copy(), earlier)
                except (DeadKernelError, CellTimeoutError):
                    self._lost_to(earlier)
                    break
                finally:
                    self.nb.cells[earlier] = cell  # the outputs of the first time stand
        return True

    def _start(self) -> None:
        own = Path(self.plan.fence.own)
        for folder in ("home", "tmp", "work"):
            (own / folder).mkdir(exist_ok=True)
        meeting = Path(tempfile.mkdtemp(dir=own, prefix="k"))
        plan_file = meeting / "plan.json"
        self.plan.write(plan_file)
        manager = AsyncKernelManager(
            transport="ipc", ip=str(meeting / "s"), connection_file=str(meeting / "c.json"), parent=self
        )
        manager._kernel_spec = KernelSpec(
            argv=kernel.command(self.root, plan_file), display_name="Marking", language="python"
        )
        self.km = manager
        with self.log_file.open("ab") as log:
            self.start_new_kernel(cwd=str(own), env=kernel.environment(own, meeting), stdout=log, stderr=log)
        self._group = getattr(manager.provisioner, "pgid", None)
        self.start_new_kernel_client()

    def _stop(self) -> None:
        """Ends the kernel and every process of its group."""
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError):  # all of them ended before
                os.killpg(self._group, signal.SIGKILL)
            self._group = None
        if self.km is not None:
            self._cleanup_kernel()
        self.km, self.kc = None, None  # type: ignore[assignment]

    def on_cell_executed(self, **kwargs: Any) -> None:
        """As nbgrader's, and notes the reply: it alone, and no output, says whether a check held."""
        super().on_cell_executed(**kwargs)
        reply = kwargs["execute_reply"]["content"]
        if reply.get("ename") == TOO_LONG:
            self._blame(kwargs["cell"], TOO_LONG, reply["evalue"])
        kwargs["cell"].metadata.setdefault(ROLE, {})["status"] = reply["status"]
        names = reply.get("restored")
        if isinstance(names, list) and names:
            self.restored[kwargs["cell_index"]] = [str(name)[:60] for name in names[:20]]

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], display_id: Any, cell_index: int) -> Any:
        """Keeps an output, up to a number and a length."""
        if len(outs) >= _MOST_OUTPUTS:
            return None
        kept = super().output(outs, msg, display_id, cell_index)
        if kept is not None:
            _shorten(kept, self.plan.fence.limits.output)
        return kept

    def handle_comm_msg(self, outs: Any, msg: Any, cell_index: int) -> None:
        """Widgets say nothing that is marked."""

    def _settle(self, cell: NotebookNode) -> None:
        """Lets the reply alone decide: nbgrader would take a warning for a failure and a shown number for points."""
        status = cell.metadata.get(ROLE, {}).pop("status", None)
        if not utils.is_grade(cell):
            return
        failed = any(one.output_type == "error" for one in cell.outputs)
        if status == "ok":
            cell.outputs = [
                new_output("stream", name="stdout", text=one.text)
                for one in cell.outputs
                if one.output_type == "stream"
            ]
        elif not failed:
            self._blame(cell, NOT_RUN, "this check was not run")

    def _blame(self, cell: NotebookNode, name: str, what: str) -> None:
        cell.outputs = [one for one in cell.outputs if one.output_type != "error"]
        cell.outputs.append(new_output("error", ename=name, evalue=what, traceback=[]))


def _shorten(output: NotebookNode, most: int) -> None:
    """Cuts what is kept of an output; pictures and pages of HTML are left out, as the feedback shows none."""
    if output.output_type == "stream":
        output.text = output.text[:most]
    elif output.output_type == "error":
        output.ename, output.evalue = output.ename[:200], output.evalue[:most]
        output.traceback = [line[:most] for line in output.traceback[-50:]]
    elif "data" in output:
        text = str(output.data.get("text/plain", ""))[:most]
        output.data = NotebookNode({"text/plain": text})

"""A `hark` command as a child process of the demo: started, watched, stopped, its log kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from ops.local_kafka.process import stop_child
from schemas.errors import TransientError

_STOP_TIMEOUT_S = 30
_TAIL_LINES = 15
_TAIL_WIDTH = 400  # a traceback inside a JSON line would fill the screen


class Child:
    """A child process `hark ...` in its own session.

    Ctrl-C reaches only the demo, which then stops its children in order. With `setpriv` (Linux),
    the children of a killed demo end, too.

    Parameters
    ----------
    arguments
        Arguments after `hark`, such as `["worker"]`.
    folder
        Working directory, also of the log and the temporary files.
    environment
        Settings, added to `inherited`.
    inherited
        Environment to start from; by default this process's.
    module
        What to run instead of `hark`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        inherited: Mapping[str, str] = os.environ,
        *,
        module: str = "ops.cli",
    ) -> None:
        self.name = f"hark {' '.join(arguments)}" if module == "ops.cli" else module
        self.log = folder / f"{arguments[0]}.log"
        setpriv = shutil.which("setpriv")
        tied = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*tied, sys.executable, "-m", module, *arguments],
                cwd=folder,
                env=_with_our_packages({**inherited, "TMPDIR": str(folder), **environment}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while the process runs."""
        return self._process.poll()

    def cpu_s(self) -> float:
        """Processor time of the process and of those it started, in seconds."""
        process = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        ended = times[0].children_user + times[0].children_system
        return float(sum(each.user + each.system for each in times) + ended)

    def signal(self, number: int) -> None:
        """Send the process a signal, unless it has ended."""
        self._process.send_signal(number)

    def check(self) -> bool:
        """Whether the process has succeeded; False while it runs.

        Raises
        ------
        TransientError
            The process failed; the message has the exit code and the end of the log.
        """
        code = self._process.poll()
        if code is None:
            return False
        if code != 0:
            raise TransientError(
                f"{self.name} ended with {code}; the end of its log:\n{self.tail()}"
            )
        return True

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(line[:_TAIL_WIDTH] for line in text) or "(it wrote nothing)"

    def answer(self) -> dict[str, Any]:
        """The last JSON object in the log, `{}` if there is none."""
        for line in reversed(self.log.read_bytes().splitlines()):
            if line.startswith(b"{"):
                found = json.loads(line)
                return found if isinstance(found, dict) else {}
        return {}

    def stop(self) -> int:
        """SIGTERM, wait, then SIGKILL; returns the exit code."""
        return stop_child(self._process, _STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _with_our_packages(environment: dict[str, str]) -> dict[str, str]:
    """Let the child find the packages this process runs, wherever it runs itself."""
    ours = str(Path(__file__).resolve().parent.parent)
    there = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{ours}{os.pathsep}{there}" if there else ours}

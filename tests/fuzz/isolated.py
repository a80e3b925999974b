"""Playing cases in a process of their own, so that a crash or a hang is a finding too."""

from __future__ import annotations

import faulthandler
import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

Play = Callable[[int], "tuple[str, str] | None"]
"""From a case's number to what went wrong and the input, or None."""
MEMORY_BYTES = 8 << 30
"""Address space of the process: a huge allocation fails instead of taking the machine along."""


class Finding(NamedTuple):
    """A case that went wrong."""

    case: int
    what: str
    input: str


def hunt(
    play: Play,
    cases: range,
    *,
    hang_s: float,
    advance: Callable[[int], None] = lambda _: None,
    most: int = 10,
) -> list[Finding]:
    """Play all cases -> what was found; it stops at `most` findings.

    Parameters
    ----------
    play
        Importable by name: it runs in another process.
    hang_s
        A case that takes longer is a hang; its process is killed and the next one goes on.
    advance
        Told how many cases are done.
    """
    findings: list[Finding] = []
    start = cases.start
    while start < cases.stop and len(findings) < most:
        start = _one_process(play, range(start, cases.stop), hang_s, advance, findings, most)
    return findings


def _one_process(
    play: Play,
    cases: range,
    hang_s: float,
    advance: Callable[[int], None],
    findings: list[Finding],
    most: int,
) -> int:
    """Play until the end, or until the process ends -> the next case to play."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(play, cases, its), daemon=True)
    process.start()
    its.close()
    at = cases.start
    limit_s = hang_s + 60  # it imports first
    try:
        while len(findings) < most:
            if not mine.poll(limit_s):
                findings.append(Finding(at, f"hangs for more than {hang_s:g} s", ""))
                return at + 1
            case, wrong = mine.recv()
            limit_s = hang_s
            if wrong is not None:
                findings.append(Finding(case, *wrong))
            elif case >= cases.stop:
                advance(case)
                return case
            else:
                at = case
                advance(case)
    except EOFError:
        process.join()
        findings.append(Finding(at, f"ends the process with exit code {process.exitcode}", ""))
        return at + 1
    finally:
        process.kill()
        process.join()
    return at + 1


def _child(play: Play, cases: range, answers: Connection) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in cases:
        answers.send((case, None))
        wrong = play(case)
        if wrong is not None:
            answers.send((case, wrong))
    answers.send((cases.stop, None))
    answers.close()

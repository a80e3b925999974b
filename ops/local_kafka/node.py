"""One Kafka process: format its storage, start it, say why it failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from ops.local_kafka.config import Node, properties
from ops.local_kafka.java import Java
from ops.local_kafka.process import ProcessId
from schemas.errors import TransientError

# Any 16 bytes in url-safe base64: the same for all local clusters, as each has its own folder.
_CLUSTER_ID = "aGFyay1sb2NhbC1rYWZrYQ"
HEAP_MIB = 768
_FORMAT_TIMEOUT_S = 60
_FIRST_LINE = "Log4jController` MBean"  # what each run of Kafka logs first


def prepare(
    node: Node,
    nodes: Sequence[Node],
    java: Java,
    jars: Sequence[Path],
    besides: Mapping[str, object],
) -> None:
    """Write the node's configuration and format its storage the first time."""
    node.folder.mkdir(parents=True, exist_ok=True)
    node.properties_file.write_text(properties(node, nodes, besides))
    if (node.data / "meta.properties").exists():
        return
    command = [
        *_java(node, java, jars, ("-XX:TieredStopAtLevel=1",)),
        *("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(node.properties_file)),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise TransientError(
            f"formatting Kafka's storage in {node.data} failed: "
            f"{_last_line(done.stdout + done.stderr)}"
        )


def launch(
    node: Node,
    java: Java,
    jars: Sequence[Path],
    *,
    outlives_us: bool,
    heap_mib: int = HEAP_MIB,
) -> tuple[subprocess.Popen[bytes], ProcessId]:
    """Start the broker in a session of its own, so that Ctrl-C reaches us and not it."""
    heap = ("-Xms128m", f"-Xmx{heap_mib}m")
    command = [*_java(node, java, jars, heap), "kafka.Kafka", str(node.properties_file)]
    if not outlives_us:
        command = [*_dies_with_us(), *command]
    with _console(node).open("wb") as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            cwd=node.folder,
        )
    return process, ProcessId.of(process.pid)


def why_it_died(node: Node) -> str:
    """The root cause that the node wrote last, for a one-line message."""
    lines = _lines(node.log_file)
    starts = [number for number, line in enumerate(lines) if _FIRST_LINE in line]
    lines = lines[starts[-1] :] if starts else []
    lines += _lines(_console(node))
    for pattern in (
        r"Caused by: (.*)",
        r"([\w.$]+(?:Exception|Error): .*)",
        r".* (?:ERROR|FATAL) (.*)",
    ):
        causes = [found.group(1) for line in lines if (found := re.match(pattern, line))]
        if causes:
            return causes[-1][:200]
    return lines[-1][:200] if lines else "it wrote nothing"


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def _console(node: Node) -> Path:
    return node.folder / "console.log"


def _java(node: Node, java: Java, jars: Sequence[Path], options: Sequence[str]) -> list[str]:
    log4j2 = files("ops.local_kafka").joinpath("resources", "kafka_log4j2.properties")
    return [
        str(java.path),
        *options,
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dhark.log={node.log_file}",
        f"-Dlog4j2.configurationFile={log4j2}",
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
    ]


def _dies_with_us() -> list[str]:
    """Have Linux end the broker when this process is killed and can't clean up.

    The signal is bound to the starting thread, so it is only asked for from the main one.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "TERM", "--"]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it wrote nothing"

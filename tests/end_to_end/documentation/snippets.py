"""The code blocks of the documentation, run as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

DOCS = Path(__file__).parents[3] / "docs"
KCAT_LACKS = "kcat is not installed (Debian: apt-get install kcat): the stand-in ran instead"
KAFKAJS = "kafkajs@2.2.4"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block: the heading above it, its language, its text."""

    heading: str
    language: str
    text: str

    def without_kcat(self) -> Snippet:
        """The block, to be run with the stand-in for kcat."""
        return Snippet(f"{self.heading} (stand-in)", "stand-in", self.text)


def snippets(page: str) -> list[Snippet]:
    """All fenced blocks of a page, in order."""
    found = []
    heading = ""
    pattern = re.compile(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in pattern.finditer((DOCS / page).read_text()):
        if match[1]:
            heading = match[1]
        else:
            found.append(Snippet(heading, match[2], match[3]))
    return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who copies a block, with a broker and topics of their own."""

    bootstrap: str
    prefix: str
    node_path: Path | None

    def command(self, snippet: Snippet) -> list[str]:
        """The command line that runs the block; skips where its client isn't installed."""
        text = snippet.text.replace("localhost:9092", self.bootstrap)
        text = re.sub(r"-t (\w+)", rf"-t {self.prefix}\1", text)
        text = re.sub(r'"(events|recommendations|alerts)"', rf'"{self.prefix}\1"', text)
        if snippet.language == "stand-in":
            here = f"exec {sys.executable} -m tests.end_to_end.documentation.kcat_stand_in"
            return ["bash", "-euo", "pipefail", "-c", f'kcat() {{ {here} "$@"; }}\n{text}']
        if snippet.language == "bash":
            if not self.can_run(snippet):
                pytest.skip(KCAT_LACKS)
            return ["bash", "-euo", "pipefail", "-c", text]
        if snippet.language == "python":
            return [sys.executable, "-c", text]
        if not self.can_run(snippet):
            pytest.skip("node, npm or the package kafkajs is not to be had")
        return ["node", "-e", text]

    def can_run(self, snippet: Snippet) -> bool:
        """Whether the block's client is installed."""
        if snippet.language == "bash":
            return shutil.which("kcat") is not None
        return snippet.language in {"python", "stand-in"} or self.node_path is not None

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "NODE_PATH": str(self.node_path),
            "KAFKAJS_NO_PARTITIONER_WARNING": "1",
        }

    def run(self, snippet: Snippet) -> None:
        """Run a block that ends by itself."""
        done = subprocess.run(
            self.command(snippet), env=self.environment(), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def first_line(self, snippet: Snippet, containing: str) -> str:
        """Run a block that reads for ever, until it prints a line with `containing`."""
        process = subprocess.Popen(
            self.command(snippet), env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        seen = []
        limit = Timer(60, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                seen.append(line)
                if containing in line:
                    return line
        finally:
            limit.cancel()
            process.kill()
            process.wait()
        raise AssertionError("".join(seen))


def kafkajs(folder: Path) -> Path | None:
    """A `node_modules` with KafkaJS, None where there is no node or no way to the package."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", KAFKAJS],
        cwd=folder, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return folder / "node_modules" if done.returncode == 0 else None

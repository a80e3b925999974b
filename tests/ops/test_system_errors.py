"""What the system refuses is one line with exit code 2; a bug still shows its traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from ops.cli import hark
from ops.local_kafka.ports import free_ports
from ops.system_errors import refused_by_system
from schemas.errors import ConfigError, TransientError
from tests.ops.test_cli import hark as run_hark

EVENTS = "u,i,t\n" + "".join(f"{n % 7},{n % 5},{1_500_000_000 + n}\n" for n in range(200))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with `file` (which is none, so nothing can be made in it), events and a schema."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("events.csv").write_text(EVENTS)
    Path("folder").mkdir()
    Path("folder/broken.schema.json").write_bytes(b"\xff{")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--offline", "--registry", "file/registry"),
        ("train", "--offline", "--registry", "registry", "--archive", "file/archive"),
        ("models", "prune", "--registry", "file/registry"),
        ("models", "list", "--registry", "file"),
        ("models", "list", "--registry", "file", "--json"),
        ("models", "show", "--registry", "file"),
        ("models", "promote", "champion", "--registry", "file"),
        ("models", "rollback", "--registry", "file"),
        ("train", "--offline", "--registry", "file"),
        ("evaluate", "--events", "events.csv", "--map", "user=u,item=i,time=t", "--out", "file/x"),
        ("evaluate", "--events", "folder", "--map", "user=u,item=i,time=t"),
        ("evaluate", "--events", "nowhere.csv", "--map", "user=u,item=i,time=t"),
        ("simulate", "--events", "100", "--truth", "file/truth.json"),
        ("simulate", "--events", "100", "--truth", "file/truth.parquet"),
        ("demo", "--summary", "folder"),
        ("demo", "--summary", "file/summary.json"),
        ("demo", "--data", "folder"),
        ("schemas", "check", "--against", "folder"),
    ],
)
def test_a_path_that_cant_be_used_is_one_line(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(hark, arguments)
    assert isinstance(done.exception, ConfigError), done.exception
    line = str(done.exception)
    assert "\n" not in line
    assert any(name in line for name in ("file", "folder", "nowhere.csv"))


def test_the_process_prints_that_line_and_ends_with_2() -> None:
    done = run_hark("models", "prune", "--registry", "file/registry")
    assert (done.returncode, done.stderr) == (2, "error: file/registry: Not a directory\n")


def test_a_state_folder_that_cant_be_used_is_one_line() -> None:
    done = run_hark("topics", "list", HARK_HOME="file")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: file/state/broker.json: Not a directory"]


def test_polars_errors_name_the_file() -> None:
    for write in (pl.DataFrame.write_parquet, pl.DataFrame.write_json):
        for place in ("file/x", "nowhere/x", "folder"):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - its text is the point
                write(pl.DataFrame({"a": [1]}), place)
            found = refused_by_system(caught.value)
            assert isinstance(found, ConfigError)
            assert place in str(found)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError(13, "Permission denied", "registry"), ConfigError),
        (OSError(30, "Read-only file system", "var"), ConfigError),
        (OSError(28, "No space left on device"), TransientError),
        (OSError(5, "Input/output error", "var"), TransientError),
        (ConnectionResetError(104, "Connection reset by peer"), None),
        (TimeoutError(), None),
        (OSError(9, "Bad file descriptor"), None),
        (OSError("made up"), None),
    ],
)
def test_only_what_the_system_refuses_is_an_error_for_a_person(
    error: OSError, kind: type[Exception] | None
) -> None:
    found = refused_by_system(error)
    assert (type(found) if found else None) is kind


def test_a_bug_keeps_its_traceback() -> None:
    code = (
        "import click, ops.cli as cli\n"
        "@click.command()\n"
        "def broken(): {}['no']\n"
        "cli.broken = broken\n"
        "cli.COMMANDS['broken'] = cli.Entry('ops.cli:broken', '')\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "broken"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError" in done.stderr


@pytest.mark.parametrize(
    "command", [("broker", "start"), ("topics", "check"), ("topics", "create")]
)
def test_a_cluster_that_is_set_and_isnt_there_has_a_way_out(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", servers)
    done = CliRunner().invoke(hark, command)
    line = str(done.exception)
    assert servers in line
    assert "unset" in line
    assert "HARK_KAFKA__BOOTSTRAP_SERVERS" in line

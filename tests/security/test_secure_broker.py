"""`hark broker start --secure`: what it makes, who may read it, and who each command then is."""

from __future__ import annotations

import datetime as dt
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from ops.cli import hark
from ops.local_kafka.access import Access
from ops.local_kafka.certificates import Authority
from schemas.errors import ConfigError
from schemas.roles import ROLES


def run(*arguments: str) -> Result:
    return CliRunner().invoke(hark, arguments)


@pytest.fixture
def started_here() -> Iterator[None]:
    yield
    run("broker", "stop", "--delete-data")


@pytest.mark.kafka
@pytest.mark.usefixtures("started_here")
def test_one_command_makes_everything_and_each_command_is_its_role() -> None:
    told = json.loads(run("broker", "start", "--secure", "--json").output.splitlines()[-1])
    assert told["ready"]
    folder = Path(told["access"])
    readable = [file.name for file in folder.iterdir() if file.stat().st_mode & 0o077]
    assert readable == ["ca.pem"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    access = Access(folder)
    pid = told["brokers"][0]["pid"]
    said = " ".join(psutil.Process(pid).cmdline())
    said += "".join(file.read_text() for file in folder.parent.rglob("*.properties"))
    said += Path(told["brokers"][0]["log_file"]).read_text()
    assert not [role for role, password in access.passwords().items() if password in said]

    # Nobody set a user: each of these logs in as the role that may.
    assert run("topics", "create").exit_code == 0
    assert run("simulate", "--events", "50", "--json").exit_code == 0
    assert run("tail", "alerts", "--until-end").exit_code == 0
    assert run("tail", "dead-letters", "--until-end").exit_code == 0
    letters = run("dead-letters", "list")
    assert letters.exit_code == 0, letters.exception or letters.output
    assert run("topics", "acls", "--check").exit_code == 0

    assert isinstance(run("broker", "start").exception, ConfigError), "a plain one can't be had"
    assert run("broker", "status").exit_code == 0

    # A deleted password is made anew at the next start, and only that one.
    before = access.passwords()
    access.password_file("reader").unlink()
    assert run("broker", "stop").output == "stopped\n"
    assert run("broker", "start", "--secure").exit_code == 0
    changed = {role for role, password in access.passwords().items() if password != before[role]}
    assert changed == {"reader"}
    assert run("tail", "alerts", "--until-end").exit_code == 0


@pytest.mark.parametrize("command", [("--role", "reader"), ()])
def test_rights_are_shown_without_a_broker(command: tuple[str, ...]) -> None:
    shown = json.loads(run("topics", "acls", *command, "--json").output)
    principals = {right["principal"] for right in shown["rights"]}
    assert principals == ({"User:reader"} if command else {f"User:{role}" for role in ROLES})


def test_certificates_are_kept_until_they_end_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(tmp_path / "access")
    access.create()
    first = access.certificate_file("worker").read_bytes()
    access.create()
    assert access.certificate_file("worker").read_bytes() == first
    certificate = x509.load_pem_x509_certificate(first)
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    monkeypatch.setattr("ops.local_kafka.certificates.RENEWED_BEFORE", left + dt.timedelta(hours=1))
    access.create()
    assert access.certificate_file("worker").read_bytes() != first


def test_a_damaged_certificate_says_what_to_do(tmp_path: Path) -> None:
    Authority(tmp_path)
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"ca\.pem is damaged: delete it"):
        Authority(tmp_path)

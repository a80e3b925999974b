"""Pseudonyms: the same everywhere, of no use without the key, and safe to make twice."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ops.cli import hark
from ops.kafka_admin.topics import create_topics
from ops.privacy.pseudonym_command import pseudonyms, under_pseudonyms
from ops.tail_command import follow
from schemas.errors import ConfigError
from schemas.pseudonym import Pseudonyms, is_pseudonym, read_key
from streams.settings import Privacy, load_settings
from tests.few_partitions import topics

ROOT = Path(__file__).parents[3]
KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "pseudonym.key"
    file.write_bytes(KEY + b"\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def documented() -> Callable[[str, bytes, str], str]:
    """The function that docs/privacy.md gives to whoever publishes."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/privacy.md").read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - it is our own document
    made: Callable[[str, bytes, str], str] = scope["pseudonym"]
    return made


@pytest.mark.parametrize("user", ["u-4711", "4711", "ü", "a b", "x" * 512])
def test_the_documented_snippet_makes_the_same(
    documented: Callable[[str, bytes, str], str], user: str
) -> None:
    assert documented(user, KEY, "k1") == Pseudonyms(KEY, "k1").of(user)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_two_users_have_two_pseudonyms_and_each_stays_one(one: str, other: str) -> None:
    made = Pseudonyms(KEY, "k1")
    first, second = made.of(one), made.of(other)
    assert is_pseudonym(first)
    assert made.of(first) == first
    assert (first == second) == (one == other)
    assert Pseudonyms(KEY[::-1], "k1").of(one).rpartition(":")[2] != first.rpartition(":")[2]


def test_a_key_never_shows() -> None:
    assert "0123" not in repr(Pseudonyms(KEY, "k1"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key(key_file)


def test_a_key_that_isn_t_there_or_too_short_is_refused(key_file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_key(key_file.with_name("other"))
    key_file.write_bytes(b"short")
    with pytest.raises(ConfigError, match="at least 32"):
        pseudonyms(Privacy(key_file=key_file))
    with pytest.raises(ConfigError, match="key_id"):
        Pseudonyms(KEY, "a:b")


def test_a_pipe_as_the_key_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        read_key(tmp_path / "pipe")


def test_without_a_key_nothing_is_renamed() -> None:
    assert pseudonyms(Privacy()) is None
    done = CliRunner().invoke(hark, ["pseudonym", "u"], standalone_mode=False)
    assert isinstance(done.exception, ConfigError)


def test_support_looks_a_user_up(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_PRIVACY__KEY_FILE", str(key_file))
    monkeypatch.setenv("HARK_PRIVACY__KEY_ID", "k7")
    done = CliRunner().invoke(hark, ["pseudonym", "u-4711", "--json"], standalone_mode=False)
    assert json.loads(done.stdout) == {"u-4711": Pseudonyms(KEY, "k7").of("u-4711")}


def test_the_fields_that_are_named_are_renamed_and_no_others() -> None:
    made = Pseudonyms(KEY, "k1")
    events = pl.DataFrame(
        {"user_id": ["a", "b"], "context.ip": ["::1", None], "traits.plan": ["pro", "pro"]}
    )
    renamed = under_pseudonyms(events, made, ("context.ip", "traits.email"))
    assert renamed["user_id"].to_list() == [made.of("a"), made.of("b")]
    assert renamed["context.ip"].to_list() == [made.of("::1"), None]
    assert renamed["traits.plan"].to_list() == ["pro", "pro"]


def test_what_hark_publishes_carries_pseudonyms_only(
    key_file: Path,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("HARK_PRIVACY__KEY_FILE", str(key_file))
    monkeypatch.setenv("HARK_PRIVACY__ALSO", '["context.ip"]')
    file = tmp_path / "events.csv"
    file.write_text("who,when,item,addr\nsecret-ann,2026-01-01T00:00:00Z,p1,198.51.100.7\n")
    client, specs = load_settings().kafka.client(), topics(topic_prefix)

    async def records() -> list[Any]:
        found = follow(client, specs[0], "trainer", from_beginning=True, until_end=True)
        return [record async for record in found]

    asyncio.run(create_topics(client, specs, 1))
    arguments = ["replay", str(file), "--map", "user=who,time=when,item=item,ip=addr", "--json"]
    done = CliRunner().invoke(hark, arguments, standalone_mode=False)
    assert done.exception is None, done.output
    (record,) = asyncio.run(records())
    pseudonym = Pseudonyms(KEY, "k1").of("secret-ann")
    assert record.key.decode() == json.loads(record.value)["userId"] == pseudonym
    assert b"secret-ann" not in record.value
    assert b"198.51.100.7" not in record.value

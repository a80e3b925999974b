"""Settings that look right and aren't: one line that says what works instead, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from streams.settings import load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HARK_")]:
        monkeypatch.delenv(name)


def _refused(*said: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    line = str(caught.value)
    assert "\n" not in line
    for part in said:
        assert part in line
    return line


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HARK_CONTRACT__ENTITIES", "context.ip", """HARK_CONTRACT__ENTITIES='["context.ip"]'"""),
        ("HARK_ALERTS__WATCH", "login, payment", """HARK_ALERTS__WATCH='["login", "payment"]'"""),
        ("HARK_KAFKA", "h:1", "HARK_KAFKA__..."),
        ("HARK_KAFKA", "5", "HARK_KAFKA__..."),
        ("HARK_ALERTS__CHURN", "yes", "HARK_ALERTS__CHURN__..."),
        ("HARK_EVENTS", "Bought=purchase", """'{"Bought": "purchase"}'"""),
        ("HARK_EVENTS__BOUGHT", "purchase", """[events] "Bought" = "purchase\""""),
        ("HARK_EVENTS__ADD_TO_CART", "cart", """HARK_EVENTS='{"Add to cart": "cart"}'"""),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "h:port", "'h:port' isn't host:port"),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "PLAINTEXT://h:9092", "isn't host:port"),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "h1:9092,", "isn't host:port"),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "h:99999", "isn't host:port"),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "", "isn't host:port"),
    ],
)
def test_a_variable_in_a_wrong_form_is_refused_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    _refused(name, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[events]\nBought = 5\n", "(hark.toml or HARK_EVENTS)"),
        ("[contract]\nentities = [[]]\n", "(hark.toml or HARK_CONTRACT__ENTITIES)"),
        ("[kafka]\nsecurity_protocol = 'SASL_SSL'\n", "(hark.toml or HARK_KAFKA__...)"),
        ("[state]\nmax_users = 0\n", "(hark.toml or HARK_STATE__MAX_USERS)"),
    ],
)
def test_the_variable_that_an_error_proposes_exists(text: str, said: str) -> None:
    Path("hark.toml").write_text(text)
    assert _refused().endswith(said)


def test_what_the_errors_propose_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_EVENTS", '{"Bought": "purchase"}')
    monkeypatch.setenv("HARK_CONTRACT__ENTITIES", '["context.ip"]')
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", "h1:9092, [::1]:9092,kafka_1")
    contract = load_settings().product_contract()
    assert contract.event_names["Bought"] is Kind.PURCHASE
    assert contract.entities == ("context.ip",)


def _loop(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.write_bytes("[http]\nport = 0 # é\n".encode("latin-1")), "not UTF-8"),
        (lambda file: file.write_bytes("[http]\nport = 0\n".encode("utf-16")), "not UTF-8"),
        (lambda file: file.write_bytes(b"\xef\xbb\xbf[http]\nport = 0\n"), "byte order mark"),
        (lambda file: file.mkdir(), "a folder"),
        (_loop, "can't be read"),
        (os.mkfifo, "not a regular file"),
        (lambda file: file.symlink_to("nowhere"), "no such file"),
        (lambda file: file.write_text("[http\n"), "line 1"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_settings_file_that_cant_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, make: object, said: str, *, named: bool
) -> None:
    file = Path("other.toml" if named else "hark.toml")
    make(file)  # type: ignore[operator]
    if named:
        monkeypatch.setenv("HARK_CONFIG", str(file))
    _refused(str(file), said)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_settings_file_without_the_right_to_read_it_is_named() -> None:
    Path("hark.toml").write_text("")
    Path("hark.toml").chmod(0)
    _refused("hark.toml", "Permission denied")

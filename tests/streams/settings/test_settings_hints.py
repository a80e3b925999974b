"""What is wrong with a setting is one line that says what works instead."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from streams.settings import load_settings


def refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> str:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("HARK_HTTP__PROT", "HARK_HTTP__PORT"),
        ("HARK_HTTP_PORT", "HARK_HTTP__PORT"),
        ("HARK_HTPP__PORT", "HARK_HTTP__PORT"),
        ("HARK_KAFKA__BOOTSTRAP", "HARK_KAFKA__BOOTSTRAP_SERVERS"),
        ("HARK_CONTRACT__ENTITYS", "HARK_CONTRACT__ENTITIES"),
    ],
)
def test_a_misspelt_variable_is_told_the_nearest(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    assert f"did you mean {meant}?" in refused(monkeypatch, variable, "1")


def test_what_is_like_no_setting_is_told_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean" not in refused(monkeypatch, "HARK_QUITE_ELSE", "1")


def test_a_section_that_is_no_json_doesnt_show_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "s3cret" not in refused(monkeypatch, "HARK_KAFKA", '{"password":"s3cret",}')


def test_a_list_that_is_nearly_json_is_shown_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused(monkeypatch, "HARK_CONTRACT__ENTITIES", '["context.ip", "properties.iban",]')
    assert line.endswith('=\'["context.ip", "properties.iban"]\'')


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("HARK_CONTRACT__ENTITIES", "", 'a list, as ["context.ip"]'),
        ("HARK_KAFKA__BOOTSTRAP_SERVERS", "h:0", "'h:0' isn't host:port"),
        ("HARK_KAFKA__TOPIC_PREFIX", "my shop.", "kafka.topic_prefix"),
        ("HARK_KAFKA__TOPIC_PREFIX", "x" * 240, "kafka.topic_prefix"),
        ("HARK_KAFKA__GROUP_ID", "", "kafka.group_id"),
    ],
)
def test_a_value_that_kafka_or_a_list_cant_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    assert why in refused(monkeypatch, variable, value)


def test_blanks_around_addresses_are_no_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", " h:1, i:2 ")
    assert load_settings().kafka.bootstrap_servers == "h:1,i:2"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[http]\nport = true\n", "true is no number"),
        (b"http = 5\n", "a section, not a value"),
        ("[http]\nport = 0\n".encode("utf-16"), "save it as UTF-8"),
        ("[http]\nport = 0\n".encode("utf-16-le"), "NUL bytes"),
        ("\ufeff[http]\nport = 0\n".encode(), "byte order mark"),
    ],
)
def test_a_file_that_looks_right_and_isnt_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "hark.toml").write_bytes(content)
    assert why in refused(monkeypatch, "HARK_CONFIG", str(tmp_path / "hark.toml"))

"""Errors in settings, in one line: the setting, where it was set, and what works instead."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from schemas.errors import ConfigError

CONFIG_FILE_VARIABLE = "HARK_CONFIG"
NO_SETTINGS = frozenset({CONFIG_FILE_VARIABLE, "HARK_DATA", "HARK_HOME", "HARK_TEST_BOOTSTRAP"})
_EVENTS = "HARK_EVENTS__"


def checked_file() -> Path:
    """Check that the settings file (`HARK_CONFIG`, else `hark.toml`) is TOML -> its path.

    The default file may be missing.

    Raises
    ------
    ConfigError
        `HARK_CONFIG` names a file that doesn't exist, or the file isn't TOML in UTF-8.
    """
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    file = Path(named or "hark.toml")
    shown = f"{CONFIG_FILE_VARIABLE}={named}" if named else f"{file}"
    if not named and not os.path.lexists(file):
        return file
    if file.is_dir():
        raise ConfigError(
            f"{shown}: a folder, not a file (Docker makes one where a bind mount's file is missing)"
        )
    if file.exists() and not file.is_file():
        raise ConfigError(f"{shown}: not a regular file")
    try:
        tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{shown}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: not UTF-8 ({error}); save it in that encoding") from None
    except tomllib.TOMLDecodeError as error:
        mark = file.read_bytes().startswith(b"\xef\xbb\xbf")
        why = "it begins with a byte order mark; save it as UTF-8 without" if mark else error
        raise ConfigError(f"{shown}: {why}") from None
    return file


def check_variables(sections: Iterable[str]) -> None:
    """Refuse `HARK_` variables that set nothing.

    Raises
    ------
    ConfigError
        A variable names an unknown section, or an event: names of events can't be variables.
    """
    known = list(sections)
    for name, value in os.environ.items():
        if not name.startswith("HARK_") or name in NO_SETTINGS:
            continue
        if name.startswith(_EVENTS):
            event = name.removeprefix(_EVENTS).replace("_", " ").capitalize()
            raise ConfigError(
                f"{name}: a variable's name can't say how an event is written (Bought, bought, Has "
                f"bought); put it into hark.toml, [events] {_quoted(event)} = {_quoted(value)}, or "
                f"set HARK_EVENTS='{json.dumps({event: value}, ensure_ascii=False)}'"
            )
        if name.removeprefix("HARK_").split("__")[0].lower() not in known:
            raise ConfigError(f"{name}: no such setting; sections are {', '.join(known)}")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def invalid(error: ValidationError) -> ConfigError:
    """The error for an invalid value or an unknown setting."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    wrong = (
        "no such setting"
        if first["type"] == "extra_forbidden"
        else first["msg"].removeprefix("Value error, ")
    )
    if not place:  # a contradiction between two settings, which the message names
        return ConfigError(wrong)
    # An element of a list or of [events] has no variable of its own; a section has many.
    depth = next((n for n, part in enumerate(first["loc"]) if isinstance(part, int)), len(place))
    path = place[: 1 if place[0] == "events" else depth]
    variable = "HARK_" + "__".join(path).upper() + ("__..." if _is_section(path) else "")
    return ConfigError(f"setting {'.'.join(place)}: {wrong} (hark.toml or {variable})")


def _is_section(path: list[str]) -> bool:
    return len(path) == 1 and path[0] != "events"


def unreadable(error: SettingsError, sections: Mapping[str, FieldInfo]) -> ConfigError:
    """The error for a variable of a list or a whole section that isn't JSON."""
    cause = error.__cause__
    text = cause.doc if isinstance(cause, json.JSONDecodeError) else None
    name = next(
        (n for n, value in os.environ.items() if n.startswith("HARK_") and value == text), None
    )
    if name is None:
        return ConfigError(f"a HARK_ variable isn't JSON: {error}")
    if name == "HARK_EVENTS":
        return ConfigError(f'{name}={text!r:.80}: not JSON; as \'{{"Bought": "purchase"}}\'')
    if _has_settings(name.removeprefix("HARK_").lower().split("__"), sections):
        return ConfigError(
            f"{name}={text!r:.80}: a section, not a setting; set {name}__... for each of its "
            "settings (streams/settings.py), or give all as JSON"
        )
    return ConfigError(
        f"{name}={text!r:.80}: not JSON; a list is written as "
        f"{name}='{json.dumps([part.strip() for part in (text or '').split(',')])}'"
    )


def _has_settings(path: list[str], fields: Mapping[str, FieldInfo]) -> bool:
    """Whether `path` is a section, with settings below it."""
    for name in path:
        kind = fields[name].annotation if name in fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return False
        fields = kind.model_fields
    return True

"""What is wrong with settings, in one line: which, where they were set, and what works instead."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from schemas.errors import ConfigError

CONFIG_FILE_VARIABLE = "HARK_CONFIG"
NO_SETTINGS = frozenset({CONFIG_FILE_VARIABLE, "HARK_DATA", "HARK_HOME", "HARK_TEST_BOOTSTRAP"})
_EVENTS = "HARK_EVENTS__"
_MESSAGES = {
    "extra_forbidden": "no such setting",
    "tuple_type": 'a list, as ["context.ip"]',
    "dict_type": 'a table of names, as {"Bought": "purchase"}',
    "model_type": "a section, not a value: set its settings",
}
"""In place of pydantic's, which speak of Python."""


def checked_file() -> Path:
    """`hark.toml`, or the file of `HARK_CONFIG`: if it is there, it can be read as TOML.

    Raises
    ------
    ConfigError
        It is named and isn't there, or it isn't a text file in UTF-8, or not TOML.
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
        raise ConfigError(f"{shown}: not UTF-8 ({error}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        content = file.read_bytes()
        why: object = error
        if content.startswith(b"\xef\xbb\xbf"):
            why = "it begins with a byte order mark; save it as UTF-8 without"
        elif b"\0" in content:
            why = "it holds NUL bytes, as UTF-16 does; save it as UTF-8"
        raise ConfigError(f"{shown}: {why}") from None
    return file


def check_variables(sections: Mapping[str, FieldInfo]) -> None:
    """Refuse `HARK_` variables that set nothing.

    Raises
    ------
    ConfigError
        Of a section that there isn't, or of an event: a variable can't be written like its name.
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
            raise ConfigError(
                f"{name}: no such setting{_nearest(name, _variables(sections))}; "
                f"sections are {', '.join(known)}"
            )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _variables(fields: Mapping[str, FieldInfo], prefix: str = "HARK") -> list[str]:
    """Every setting as its variable."""
    names: list[str] = []
    for name, field in fields.items():
        variable = f"{prefix}{'_' if prefix == 'HARK' else '__'}{name.upper()}"
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _variables(kind.model_fields, variable)
        else:
            names.append(variable)
    return names


def _nearest(name: str, names: Iterable[str]) -> str:
    """`(did you mean ...?)` where a name is close enough."""
    found = get_close_matches(name.upper(), [one.upper() for one in names], n=1, cutoff=0.75)
    return f" (did you mean {found[0]}?)" if found else ""


def invalid(error: ValidationError, sections: Mapping[str, FieldInfo]) -> ConfigError:
    """A setting has a value that isn't one, or there is no such setting."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    wrong = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    if not place:  # between two settings, which the message names
        return ConfigError(wrong)
    # What is in a list or under [events] has no variable of its own; a section has many.
    depth = next((n for n, part in enumerate(first["loc"]) if isinstance(part, int)), len(place))
    path = place[: 1 if place[0] == "events" else depth]
    variable = "HARK_" + "__".join(path).upper() + ("__..." if _is_section(path) else "")
    if first["type"] == "extra_forbidden":
        wrong += _nearest(variable.removesuffix("__..."), _variables(sections))
    return ConfigError(f"setting {'.'.join(place)}: {wrong} (hark.toml or {variable})")


def _is_section(path: list[str]) -> bool:
    return len(path) == 1 and path[0] != "events"


def unreadable(error: SettingsError, sections: Mapping[str, FieldInfo]) -> ConfigError:
    """A variable of a list or a whole section isn't JSON."""
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
            f"{name}: a section, not a setting; set {name}__... for each of its settings "
            "(streams/settings.py), or give all as JSON"
        )
    parts = [part.strip(" []\"'") for part in (text or "").split(",")]
    return ConfigError(
        f"{name}={text!r:.80}: not JSON; a list is written as "
        f"{name}='{json.dumps([part for part in parts if part])}'"
    )


def _has_settings(path: list[str], fields: Mapping[str, FieldInfo]) -> bool:
    """Whether there are further settings below this one."""
    for name in path:
        kind = fields[name].annotation if name in fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return False
        fields = kind.model_fields
    return True

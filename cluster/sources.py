"""Where settings come from: `ocelog.toml`, then the environment, then flags; what comes later wins.

An unknown setting is refused wherever it stands, naming the file or variable, because a mistyped setting that is
silently ignored is found out only when it was needed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config import Settings, field_names, kind_of, section_names, suggestion
from .errors import ConfigError

FILE_NAME = "ocelog.toml"
PREFIX = "OCELOG_"
FILE_BYTES_MAX = 1024 * 1024

Sections = dict[str, dict[str, Any]]


def load(*, file: str | None, environment: Mapping[str, str], flags: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from all three sources.

    `file` None means `ocelog.toml` in the working directory, if there is one; a flag of None was not given. Raises
    ConfigError.
    """
    merged: Sections = {}
    for sections in (from_file(file), from_environment(environment), flags):
        for title, values in sections.items():
            given = {name: value for name, value in values.items() if value is not None}
            merged.setdefault(title, {}).update(given)
    return Settings.from_sections(merged)


def from_file(file: str | None) -> Sections:
    """The sections of a TOML file, its names checked. Raises ConfigError, naming the file."""
    path = Path(file or FILE_NAME)
    if file is None and not path.exists():
        return {}
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is {path.stat().st_size} bytes long, more than {FILE_BYTES_MAX}")
        sections = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for title, values in sections.items():
        _check_section(str(path), title, values)
    cluster = sections.get("cluster", {})
    if cluster.get("machines") and "machine_path" not in cluster:
        cluster["machine_path"] = [str(path.absolute().parent)]  # where the file is, there is what belongs to it
    return sections


def _check_section(source: str, title: str, values: object) -> None:
    if title not in section_names():
        raise ConfigError(f"{source}: unknown section [{title}]{suggestion(title, section_names())}")
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: {title} is {values!r}, and must be a section: [{title}]")
    for name in values:
        if name not in field_names(title):
            raise ConfigError(f"{source}: unknown setting {title}.{name}{suggestion(name, field_names(title))}")


def from_environment(environment: Mapping[str, str]) -> Sections:
    """The settings in variables such as `OCELOG_LOG__SEGMENT_BYTES_MAX`. Raises ConfigError, naming the variable."""
    sections: Sections = {}
    for variable, text in sorted(environment.items()):
        rest = variable.removeprefix(PREFIX)
        if rest == variable:
            continue
        title, separator, name = rest.lower().partition("__")
        if separator:
            _check_variable(variable, title, name)
            sections.setdefault(title, {})[name] = _value(variable, title, name, text)
        elif title.split("_")[0] in section_names():
            # One underscore for two is an easy slip; variables that resemble no setting belong to somebody else.
            raise ConfigError(f"unknown variable {variable}{suggestion(variable, _variables())}")
    return sections


def _check_variable(variable: str, title: str, name: str) -> None:
    if title not in section_names() or name not in field_names(title):
        raise ConfigError(f"unknown variable {variable}{suggestion(variable, _variables())}")


def _variables() -> list[str]:
    return [f"{PREFIX}{title}__{name}".upper() for title in section_names() for name in field_names(title)]


def _value(variable: str, title: str, name: str, text: str) -> Any:
    kind = kind_of(title, name)
    if kind == "text":
        return text
    if kind == "texts":
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{variable} is {text!r}, and must be a whole number") from None


def from_process(*, file: str | None, flags: Mapping[str, Mapping[str, Any]]) -> Settings:
    """`load` with this process's environment."""
    return load(file=file, environment=os.environ, flags=flags)

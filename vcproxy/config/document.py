"""The file: read whole, every problem told at once."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from vcproxy.config.sections import (
    AuthenticationConfig,
    Config,
    HostConfig,
    LimitConfig,
    ListenConfig,
    LogConfig,
    PodConfig,
    TokenConfig,
    WebhookConfig,
)
from vcproxy.config.settings import API_VERSION, KIND, SETTINGS, Setting

_SECTIONS: Final = frozenset(setting.path.rpartition(".")[0] for setting in SETTINGS if "." in setting.path)


class ConfigErrors(ValueError):  # noqa: N818 - it holds several
    """Everything that is wrong with a file, one text each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: Path) -> Config:
    """The configuration of a file. Raises ConfigErrors with everything that is wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigErrors([f"{path}: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise ConfigErrors([f"{path}: not YAML: {' '.join(str(error).split())}"]) from error
    return parse(document, path.parent)


def parse(document: Any, folder: Path = Path()) -> Config:
    """The configuration of a decoded document; relative paths are relative to `folder`. Raises ConfigErrors."""
    if not isinstance(document, dict):
        raise ConfigErrors([f"the file must hold one object with apiVersion: {API_VERSION}"])
    problems = _head_problems(document)
    given = _flatten({key: value for key, value in document.items() if key not in ("apiVersion", "kind")}, problems)
    values = {setting.path: _read(setting, given, folder, problems) for setting in SETTINGS}
    problems += _together(values)
    if problems:
        raise ConfigErrors(problems)
    return _config(values)


def _head_problems(document: Mapping[str, Any]) -> list[str]:
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    return [f"{key}: must be {value}" for key, value in wanted.items() if document.get(key) != value]


def _flatten(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Settings by path; whatever is no setting is a problem, with the nearest one that is."""
    known = {setting.path for setting in SETTINGS}
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in _SECTIONS and isinstance(value, dict):
            for inner, content in value.items():
                found[f"{key}.{inner}"] = content
        elif key in _SECTIONS:
            problems.append(f"{key}: must be an object")
        else:
            found[str(key)] = value
    for path in [path for path in found if path not in known]:
        near = difflib.get_close_matches(path, [*known, *_SECTIONS], 1)
        problems.append(f"{path}: unknown" + (f"; did you mean {near[0]}?" if near else ""))
        del found[path]
    return found


def _read(setting: Setting, given: Mapping[str, Any], folder: Path, problems: list[str]) -> Any:
    try:
        value = setting.read(given.get(setting.path, setting.default))
    except ValueError as error:
        problems.append(f"{setting.path}: {error}")
        return None
    return folder / value if isinstance(value, Path) else value


def _together(values: Mapping[str, Any]) -> list[str]:
    """Problems of settings that only count together."""
    found = []
    if (values["listen.certificate"] is None) != (values["listen.key"] is None):
        found.append("listen.certificate and listen.key: give both or none")
    if (values["host.kubeconfig"] is None) != (values["host.controllerKubeconfig"] is None):
        found.append("host.kubeconfig and host.controllerKubeconfig: give both or none")
    if values["webhook.url"] is not None and values["webhook.service"] is not None:
        found.append("webhook.url and webhook.service: give one of them")
    life, longest = values["tokens.life"], values["tokens.longestLife"]
    if life is not None and longest is not None and life > longest:
        found.append("tokens.life: must not be longer than tokens.longestLife")
    if values["authentication.order"] == ("webhook",) and not values["authentication.webhook"]:
        found.append("authentication.order: nobody could log in, for authentication.webhook is not given")
    return found


def _config(values: Mapping[str, Any]) -> Config:
    def section(name: str) -> dict[str, Any]:
        return {_snake(path.partition(".")[2]): value for path, value in values.items() if path.startswith(f"{name}.")}

    return Config(
        HostConfig(**section("host")),
        ListenConfig(**section("listen")),
        values["operations.address"],
        values["advertiseAddress"],
        WebhookConfig(**section("webhook")),
        PodConfig(**section("pods")),
        TokenConfig(**section("tokens")),
        LimitConfig(**section("limits")),
        LogConfig(**section("log")),
        values["controller.enabled"],
        AuthenticationConfig(**section("authentication")),
        values["exports"],
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda match: "_" + match[1].lower(), name)


def shown(document: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every setting with its value, default, unit and reason, for people and machines; `document` is a decoded file."""
    given = _flatten({k: v for k, v in (document or {}).items() if k not in ("apiVersion", "kind")}, [])
    return [
        {
            "path": setting.path,
            "value": given.get(setting.path, setting.default),
            "default": setting.default,
            "unit": setting.unit,
            "why": setting.why,
            "reloads": setting.reloads,
        }
        for setting in SETTINGS
    ]

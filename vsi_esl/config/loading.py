"""Reading settings: defaults, then the file, then the environment; every problem found is reported."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any

import yaml

from .settings import SET_IN_FREESWITCH, Config

OWN_PREFIX = "VSI_ESL_"
HIDDEN = "******"


class ConfigError(Exception):
    """What is wrong with the settings, one line per problem."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each came from (`default`, `file`, `environment`), and what to warn about."""

    config: Config
    sources: dict[str, str]
    warnings: list[str]


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, which plain YAML loaders silently overwrite."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f'key "{key}" twice', key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def all_settings(owner: type = Config, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Every setting with its key, such as `switch.host`."""
    for item in fields(owner):
        section = item.default_factory if is_dataclass(item.default_factory) else None
        if isinstance(section, type):
            yield from all_settings(section, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Read the file at `path` (None for none) and the environment. Raises ConfigError."""
    problems: list[str] = []
    settings = dict(all_settings())
    given = _from_file(path, settings, problems) if path else {}
    from_file = set(given)
    given |= _from_environment(environ, settings, problems)
    chosen: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, item in settings.items():
        if key not in given:
            sources[key] = "default"
            continue
        origin, value = given[key]
        try:
            chosen[key] = item.metadata["parse"](value)
        except ValueError as error:
            shown = HIDDEN if item.metadata["secret"] else repr(value)
            problems.append(f"{origin}: {shown}: {error}")
        sources[key] = "file" if key in from_file and origin == key else "environment"
    config = _build(Config, chosen)
    if config.switch.backoff_min > config.switch.backoff_max:
        problems.append("switch.backoff_min: must not be above switch.backoff_max")
    if problems:
        raise ConfigError("\n".join(problems))
    warnings = [
        f"{name} has no effect here: set {instead} in FreeSWITCH"
        for name, instead in SET_IN_FREESWITCH.items()
        if environ.get(name)
    ]
    return Loaded(config, sources, warnings)


def _from_file(path: str, settings: dict[str, Field[Any]], problems: list[str]) -> dict[str, tuple[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            tree = yaml.load(file, _Loader)  # noqa: S506  (a SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {_one_line(error)}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold settings as `key: value`")
    given: dict[str, tuple[str, Any]] = {}
    sections = {key.rpartition(".")[0] for key in settings}
    for key, value in _flatten(tree):
        if value is None and key in sections:
            continue  # a section with everything in it commented out
        base = key.removesuffix("_file")
        if key in settings:
            if value is not None:
                given[key] = (key, value)
        elif base in settings and settings[base].metadata["secret"]:
            if base in given:
                problems.append(f"{key}: {base} is given as well")
            secret = _read_secret(key, str(value), problems)
            if secret is not None:
                given[base] = (base, secret)
        else:
            problems.append(_unknown("key", key, list(settings)))
    return given


def _flatten(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _from_environment(
    environ: Mapping[str, str], settings: dict[str, Field[Any]], problems: list[str]
) -> dict[str, tuple[str, Any]]:
    by_name = {item.metadata["env"]: (key, item) for key, item in settings.items()}
    given: dict[str, tuple[str, Any]] = {}
    for name, value in environ.items():
        base = name.removesuffix("_FILE")
        if name in by_name:
            if value != "":
                given[by_name[name][0]] = (name, value)
        elif base in by_name and by_name[base][1].metadata["secret"]:
            if environ.get(base):
                problems.append(f"{name}: {base} is given as well")
            secret = _read_secret(name, value, problems)
            if secret is not None:
                given[by_name[base][0]] = (name, secret)
        elif name.startswith(OWN_PREFIX) and name != "VSI_ESL_CONFIG":
            problems.append(_unknown("variable", name, list(by_name)))
    return given


def _read_secret(origin: str, path: str, problems: list[str]) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(65536).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{origin}: cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}")
        return None


def _unknown(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'unknown {kind} "{name}"{hint}'


def _build(owner: type, chosen: Mapping[str, Any], prefix: str = "") -> Any:
    arguments: dict[str, Any] = {}
    for item in fields(owner):
        section = item.default_factory if is_dataclass(item.default_factory) else None
        key = f"{prefix}{item.name}"
        if isinstance(section, type):
            arguments[item.name] = _build(section, chosen, f"{key}.")
        elif key in chosen:
            arguments[item.name] = chosen[key]
    return owner(**arguments)


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + str(getattr(error, "problem", None) or error).replace("\n", " ")


def describe(loaded: Loaded) -> list[dict[str, str]]:
    """All settings with key, variable, value (secrets hidden), source and meaning."""
    rows = []
    for key, item in all_settings():
        value: Any = loaded.config
        for part in key.split("."):
            value = getattr(value, part)
        rows.append(
            {
                "key": key,
                "variable": item.metadata["env"],
                "value": HIDDEN if item.metadata["secret"] else _shown(value),
                "source": loaded.sources[key],
                "help": item.metadata["help"],
            }
        )
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def example_yaml() -> str:
    """A file with every setting commented out at its default."""
    lines = ["# vsi_esl settings. Each can also be given in the environment, under the name shown.", ""]
    section = ""
    for row in describe(load(None, {})):
        head, _, name = row["key"].rpartition(".")
        if head != section:
            section = head
            lines += ["", f"{head}:"]
        indent = "  " if head else ""
        value = {"instance_id": "pbx1"}.get(row["key"], row["value"])
        lines += [f"{indent}# {row['help']} ({row['variable']})", f'{indent}# {name}: "{value}"']
    return "\n".join(lines) + "\n"

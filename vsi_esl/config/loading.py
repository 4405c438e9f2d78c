"""Reading settings: defaults, then the file, then the environment; every problem found is reported."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from ..access import tokens
from . import yamlfile
from .elsewhere import SET_IN_FREESWITCH
from .sections import all_settings, section_of, sections
from .settings import Config
from .values import Partly

OWN_PREFIX = "VSI_ESL_"
NOT_SETTINGS = frozenset(("VSI_ESL_CONFIG", "VSI_ESL_URL", "VSI_ESL_TOKEN", "VSI_ESL_PROGRAM_HINT"))
"""Variables with our prefix that the command line reads."""

HIDDEN = "******"
MAX_SECRET_BYTES = 65536
MAX_SHOWN = 80

Settings = dict[str, Field[Any]]


class ConfigError(Exception):
    """What is wrong with the settings, one line per problem; `problems` has the lines."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each came from (`default`, `file`, `environment`), and what to warn about."""

    config: Config
    sources: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Given:
    origin: str
    """The key or variable, as the user wrote it."""
    value: Any


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Read the file at `path` (None for none) and the environment. Raises ConfigError.

    A variable that is set but empty counts as not set. Values of the file are checked even where the
    environment overrides them.
    """
    settings = dict(all_settings())
    problems: list[str] = []
    warnings: list[str] = []
    chosen = {
        key: item.metadata["default"](environ)
        for key, item in settings.items()
        if callable(item.metadata["default"])
    }
    sources = dict.fromkeys(settings, "default")
    bad: set[str] = set()
    for source, given in (
        ("file", _from_file(path, settings, problems) if path else {}),
        ("environment", _from_environment(environ, settings, problems)),
    ):
        for key, one in given.items():
            shown = HIDDEN if settings[key].metadata["secret"] else tokens.shown(repr(one.value))[:MAX_SHOWN]
            try:
                parsed = settings[key].metadata["parse"](one.value)
                if isinstance(parsed, Partly):
                    warnings.append(f"{one.origin}: {shown}: {parsed.warning}")
                    parsed = parsed.value
                chosen[key] = parsed
            except ValueError as error:
                problems.append(f"{one.origin}: {shown}: {error}")
                bad.add(key)
            sources[key] = source
    config = _build(chosen)
    _check_together(config, bad, problems, warnings)
    if problems:
        raise ConfigError(problems)
    warnings += [
        f"{name} has no effect here: set {instead} in FreeSWITCH"
        for name, instead in SET_IN_FREESWITCH.items()
        if environ.get(name)
    ]
    return Loaded(config, sources, warnings)


def _check_together(config: Config, bad: set[str], problems: list[str], warnings: list[str]) -> None:
    """Rules over more than one setting; those that are wrong by themselves are left out."""
    low, high = config.switch.backoff_min, config.switch.backoff_max
    if low > high and not bad & {"switch.backoff_min", "switch.backoff_max"}:
        problems.append(f"switch.backoff_min: {low:g}s: must not be above switch.backoff_max ({high:g}s)")
    if not bad & {"http.addr", "access.tokens", "access.open_without_tokens"}:
        host, problem = listen_host(config)
        if problem:
            problems.append(f"http.addr: {config.http.addr!r}: {problem}")
        elif host != config.http.host:
            warnings.append(f"http.addr: {config.http.addr!r}: on {host} only, as there are no tokens")
    for name in sections():
        for members, text in _wrong_together(section_of(config, name)):
            keys = [f"{name}.{member}" for member in members]
            if not bad.intersection(keys):
                problems.append(f"{keys[0]}: {text}")
    idle, ping = config.vsi.idle_timeout, config.vsi.ping_interval
    if 0 < idle <= ping and not bad & {"vsi.idle_timeout", "vsi.ping_interval"}:
        warnings.append(
            f"vsi.idle_timeout: {idle:g}s: not above vsi.ping_interval ({ping:g}s), "
            "so clients that only answer pings are disconnected"
        )


def _wrong_together(section: Any) -> Iterable[tuple[tuple[str, ...], str]]:
    found: Iterable[tuple[tuple[str, ...], str]] = getattr(section, "problems", tuple)()
    return found


def listen_host(config: Config) -> tuple[str, str]:
    """The host to listen on, and why it must not be listened on. Without tokens it is loopback only, unless
    the settings say otherwise."""
    host = config.http.host
    if config.access.tokens or config.access.open_without_tokens or is_loopback(host):
        return host, ""
    if not host:
        return "127.0.0.1", ""
    return host, (
        "everybody who reaches it could control all calls: add a token (access.tokens, made by "
        "`vsi-esl token`), listen on 127.0.0.1, or set access.open_without_tokens"
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_file(path: str, settings: Settings, problems: list[str]) -> dict[str, _Given]:
    try:
        tree = yamlfile.read(path)
    except yamlfile.FileError as error:
        problems.append(str(error))
        return {}
    known = {key: key for key in (*settings, *sections())}
    given: dict[str, _Given] = {}
    for key, value in _flat(tree, settings, problems).items():
        setting, from_file = _meant(key, settings, "_file")
        if setting is None:
            problems.append(_unknown("key", key, known))
        elif isinstance(value, dict):
            problems.append(f"{key}: must be a single value")
        elif value is not None:
            try:
                given[setting] = _take(setting, key, value, from_file, setting in given)
            except ValueError as error:
                problems.append(str(error))
    return given


def _flat(tree: Mapping[Any, Any], settings: Settings, problems: list[str]) -> dict[str, Any]:
    """What is in the sections of the file, with keys such as `switch.host`."""
    names = sections()
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if key in names and not isinstance(value, dict):
            if value is not None:  # None: everything in the section is commented out
                problems.append(f"{key}: must be a section, with its settings indented below it")
        elif isinstance(value, dict) and value and key not in settings:
            # also of a section that does not exist: its settings tell best what was meant
            flat |= {f"{key}.{inner}": one for inner, one in value.items()}
        elif "." in str(key) and _meant(key, settings, "_file")[0]:
            section, _, inner = key.partition(".")
            problems.append(f'{key}: write it as "{inner}" below "{section}:"')
        elif key not in names:
            flat[str(key)] = value
    return flat


def _from_environment(
    environ: Mapping[str, str], settings: Settings, problems: list[str]
) -> dict[str, _Given]:
    keys = {item.metadata["env"]: key for key, item in settings.items()}
    by_name = {item.metadata["env"]: item for item in settings.values()}
    known = {name: name for name in by_name}
    for name, key in keys.items():
        # what one would guess: the prefix before the reference's name, or the whole key in capitals
        known.setdefault(OWN_PREFIX + name, name)
        known.setdefault(OWN_PREFIX + key.upper().replace(".", "_"), name)
    given: dict[str, _Given] = {}
    for name, value in environ.items():
        variable, from_file = _meant(name, by_name, "_FILE")
        if variable is not None:
            if value == "":
                continue
            try:
                given[keys[variable]] = _take(variable, name, value, from_file, keys[variable] in given)
            except ValueError as error:
                problems.append(str(error))
        elif name.startswith(OWN_PREFIX) and name not in NOT_SETTINGS:
            problems.append(_unknown("variable", name, known))
    return given


def _meant(name: str, known: Settings, suffix: str) -> tuple[str | None, bool]:
    """Which known name is meant, and whether by the name of a file that holds the secret."""
    if name in known:
        return name, False
    base = name.removesuffix(suffix)
    if base != name and base in known and known[base].metadata["secret"]:
        return base, True
    return None, False


def _take(name: str, origin: str, value: Any, from_file: bool, twice: bool) -> _Given:
    """What was given as `origin` for the setting `name`. Raises ValueError, with the whole problem."""
    if twice:
        suffix = "_FILE" if name.isupper() else "_file"
        raise ValueError(f"{name}{suffix}: {name} is given as well")
    if not from_file:
        return _Given(origin, value)
    try:
        return _Given(origin, _read_secret(value))
    except (OSError, ValueError) as error:
        # what is no absolute path may be the secret itself, given under the wrong name
        path = value if isinstance(value, str) and os.path.isabs(value) else ""
        path = path if path and not tokens.may_be_secret(path) else "the file"
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{origin}: cannot read {path}: {why}") from None


def _read_secret(path: Any) -> str:
    if not isinstance(path, str):
        raise ValueError("must be a path")
    with open(path, "rb") as file:
        raw = file.read(MAX_SECRET_BYTES + 1)
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError("too long for a secret")
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None


def _unknown(kind: str, name: str, known: Mapping[str, str]) -> str:
    """`known` maps each name that could be meant to the right one."""
    near = [name] if name in known else difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'; did you mean "{known[near[0]]}"?' if near else ""
    return f'unknown {kind} "{tokens.shown(name)}"{hint}'


def _build(chosen: Mapping[str, Any]) -> Config:
    made = {name: _made(kind, f"{name}.", chosen) for name, kind in sections().items()}
    core = {item.name: made.pop(item.name) for item in fields(Config) if item.name in made}
    return Config(**_given(Config, "", chosen), **core).having(*made.values())


def _made(kind: type, prefix: str, chosen: Mapping[str, Any]) -> Any:
    return kind(**_given(kind, prefix, chosen))


def _given(kind: type, prefix: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        item.name: chosen[f"{prefix}{item.name}"] for item in fields(kind) if f"{prefix}{item.name}" in chosen
    }

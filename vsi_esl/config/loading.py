"""Reading settings: defaults, then the file, then the environment; every problem found is reported."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..access import tokens
from . import switches, yamlfile
from .elsewhere import SET_IN_FREESWITCH
from .given import HIDDEN, MAX_SHOWN, Given, Settings, meant, take, unknown
from .sections import all_settings, section_of, sections
from .settings import Config
from .values import Partly

OWN_PREFIX = "VSI_ESL_"
NOT_SETTINGS = frozenset(("VSI_ESL_CONFIG", "VSI_ESL_URL", "VSI_ESL_TOKEN", "VSI_ESL_PROGRAM_HINT"))
"""Variables with our prefix that the command line reads."""


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
    tree = _read(path, problems) if path else {}
    listed = tree.pop(switches.KEY, None)
    for source, given in (
        ("file", _from_file(tree, settings, problems)),
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
    config = replace(config, switches=switches.parse(listed, config.switch, problems))
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
    if config.access.trust_proxy_headers and not config.access.trusted_proxies:
        warnings.append(
            "access.trust_proxy_headers: clients can write X-Forwarded-For themselves where a proxy only adds"
            " to it; access.trusted_proxies names the proxies instead"
        )
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


def _read(path: str, problems: list[str]) -> dict[Any, Any]:
    try:
        return yamlfile.read(path)
    except yamlfile.FileError as error:
        problems.append(str(error))
        return {}


def _from_file(tree: Mapping[Any, Any], settings: Settings, problems: list[str]) -> dict[str, Given]:
    known = {key: key for key in (*settings, *sections(), switches.KEY)}
    given: dict[str, Given] = {}
    for key, value in _flat(tree, settings, problems).items():
        setting, from_file = meant(key, settings, "_file")
        if setting is None:
            problems.append(unknown("key", key, known))
        elif isinstance(value, dict):
            problems.append(f"{key}: must be a single value")
        elif value is not None:
            try:
                given[setting] = take(setting, key, value, from_file, setting in given)
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
        elif "." in str(key) and meant(key, settings, "_file")[0]:
            section, _, inner = key.partition(".")
            problems.append(f'{key}: write it as "{inner}" below "{section}:"')
        elif key not in names:
            flat[str(key)] = value
    return flat


def _from_environment(
    environ: Mapping[str, str], settings: Settings, problems: list[str]
) -> dict[str, Given]:
    keys = {item.metadata["env"]: key for key, item in settings.items()}
    by_name = {item.metadata["env"]: item for item in settings.values()}
    known = {name: name for name in by_name}
    for name, key in keys.items():
        # what one would guess: the prefix before the reference's name, or the whole key in capitals
        known.setdefault(OWN_PREFIX + name, name)
        known.setdefault(OWN_PREFIX + key.upper().replace(".", "_"), name)
    given: dict[str, Given] = {}
    for name, value in environ.items():
        variable, from_file = meant(name, by_name, "_FILE")
        if variable is not None:
            if value == "":
                continue
            try:
                given[keys[variable]] = take(variable, name, value, from_file, keys[variable] in given)
            except ValueError as error:
                problems.append(str(error))
        elif name.startswith(OWN_PREFIX) and name not in NOT_SETTINGS:
            problems.append(unknown("variable", name, known))
    return given


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

"""All sections of the settings: those of the core, and those that features bring.

A feature declares its sections in a module `settings` beside its `feature`, which imports little: the
settings are read by commands that start no service.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, TypeVar

from .settings import Config

T = TypeVar("T")

_of_features: dict[str, type] = {}


def section(name: str) -> Callable[[type[T]], type[T]]:
    """Register the decorated dataclass, a feature's, as the section of this name.

    Each of its fields is a `setting(...)`. A service has it as `config.section(<the class>)`. ValueError for
    a name or a variable that is taken, and for a field that is no setting.

    Rules over several of them are a method `problems()` of the class. It gives the names of the fields, that
    to be changed first, each time with what is wrong; not told when one of them is wrong by itself.
    """

    def register(kind: type[T]) -> type[T]:
        taken = {item.metadata["env"] for _, item in _declared()}
        if name in _core() or name in _of_features:
            raise ValueError(f"two sections {name!r} of settings")
        for item in fields(kind):  # type: ignore[arg-type]
            variable = item.metadata.get("env")
            if variable is None:
                raise ValueError(f"{name}.{item.name} is no setting")
            if variable in taken:
                raise ValueError(f"{name}.{item.name}: {variable} is another setting's variable")
            taken.add(variable)
        _of_features[name] = kind
        return kind

    return register


def sections() -> dict[str, type]:
    """Every section by its name: the core's in the order of `Config`, then the features' by name."""
    # whatever has settings imports this package, so it cannot import them
    importlib.import_module("vsi_esl.features").declare_settings()
    return _core() | dict(sorted(_of_features.items()))


def all_settings() -> Iterator[tuple[str, Field[Any]]]:
    """Every setting with its key, such as `switch.host`; those outside sections first."""
    yield from _settings("", Config)
    for name, kind in sections().items():
        yield from _settings(f"{name}.", kind)


def value_of(config: Config, key: str) -> Any:
    """A setting by its key."""
    name, _, member = key.rpartition(".")
    return getattr(section_of(config, name) if name else config, member)


def with_values(config: Config, name: str, **values: Any) -> Config:
    """`config` with other values in this section."""
    changed = replace(section_of(config, name), **values)
    return config.having(changed) if name in _of_features else replace(config, **{name: changed})


def section_of(config: Config, name: str) -> Any:
    """A section by its name."""
    kind = sections()[name]
    return config.section(kind) if name in _of_features else getattr(config, name)


def _core() -> dict[str, type]:
    found: dict[str, type] = {}
    for item in fields(Config):
        kind = item.default_factory
        if isinstance(kind, type) and is_dataclass(kind):
            found[item.name] = kind
    return found


def _settings(prefix: str, kind: type) -> Iterator[tuple[str, Field[Any]]]:
    for item in fields(kind):
        if "env" in item.metadata:
            yield f"{prefix}{item.name}", item


def _declared() -> Iterator[tuple[str, Field[Any]]]:
    """Those that are declared so far."""
    yield from _settings("", Config)
    for name, kind in (_core() | _of_features).items():
        yield from _settings(f"{name}.", kind)

"""The list `switches:` of the settings file, for a service with several of them.

What an entry does not say of its switch is as in the section `switch`, or in the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from ..access import tokens
from .given import HIDDEN, MAX_SHOWN, meant, take, unknown
from .settings import CompanionLink, ListedSwitch, SwitchSettings

KEY = "switches"
MOST = 1000
NAME = "name"
COMPANION = "companion"


def of_switch() -> dict[str, Field[Any]]:
    """What can be said of one switch, as in the section `switch`."""
    return {item.name: item for item in fields(SwitchSettings)}


def of_entry() -> dict[str, Field[Any]]:
    """What an entry can say besides."""
    return {item.name: item for item in fields(ListedSwitch) if "parse" in item.metadata}


def of_companion() -> dict[str, Field[Any]]:
    """What is said of its companion."""
    return {item.name: item for item in fields(CompanionLink)}


def parse(listed: Any, shared: SwitchSettings, problems: list[str]) -> tuple[ListedSwitch, ...]:
    """The entries in their order, without those that have an error; each error is added to `problems`.

    `shared` is the section `switch`. None, as where the key is missing, is no entry.
    """
    if listed is None:
        return ()
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        problems.append(f"{KEY}: must be a list of 1 to {MOST} switches, each with a name")
        return ()
    found: dict[str, ListedSwitch] = {}
    for number, entry in enumerate(listed, 1):
        place = f"{KEY}[{number}]"
        if not isinstance(entry, dict):
            problems.append(f"{place}: must be a switch, with `name: ...` and its settings")
            continue
        one = _entry(place, entry, shared, problems)
        if one is None:
            continue
        if one.name in found:
            problems.append(f"{place}.{NAME}: {one.name} is the name of another switch")
        found.setdefault(one.name, one)
    _distinct(found.values(), problems)
    return tuple(found.values())


def _entry(
    place: str, entry: Mapping[Any, Any], shared: SwitchSettings, problems: list[str]
) -> ListedSwitch | None:
    before = len(problems)
    entry = dict(entry)
    companion = _companion(f"{place}.{COMPANION}", entry.pop(COMPANION, None), problems)
    values = _members(place, entry, {**of_switch(), **of_entry()}, (COMPANION,), problems)
    if entry.get(NAME) is None:
        problems.append(f"{place}: has no name")
    if len(problems) > before:
        return None
    own = {name: values.pop(name) for name in of_switch() if name in values}
    return ListedSwitch(settings=replace(shared, **own), companion=companion, **values)


def _companion(place: str, given: Any, problems: list[str]) -> CompanionLink | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        problems.append(f"{place}: must be a section, with {', '.join(of_companion())}")
        return None
    before = len(problems)
    values = _members(place, given, of_companion(), (), problems)
    lacking = [
        name for name, item in of_companion().items() if item.default is MISSING and given.get(name) is None
    ]
    if lacking:
        problems.append(f"{place}: has no {', '.join(lacking)}")
    return CompanionLink(**values) if len(problems) == before else None


def _members(
    place: str,
    given: Mapping[Any, Any],
    known: dict[str, Field[Any]],
    sections: tuple[str, ...],
    problems: list[str],
) -> dict[str, Any]:
    """What is given of the members that there are; `sections` are named to who errs in a name."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        member, from_file = meant(str(key), known, "_file")
        origin = f"{place}.{tokens.shown(str(key))}"
        if member is None:
            names = {name: name for name in (*known, *sections)}
            problems.append(unknown("key", str(key), names) + f" in {place}")
        elif isinstance(value, dict | list):
            problems.append(f"{origin}: must be a single value")
        elif value is not None:
            try:
                taken = take(member, origin, value, from_file, member in values)
                values[member] = _parsed(known[member], taken.origin, taken.value)
            except ValueError as error:
                problems.append(str(error))
    return values


def _parsed(item: Field[Any], origin: str, value: Any) -> Any:
    try:
        return item.metadata["parse"](value)
    except ValueError as error:
        shown = HIDDEN if item.metadata["secret"] else tokens.shown(repr(value))[:MAX_SHOWN]
        raise ValueError(f"{origin}: {shown}: {error}") from None


def _distinct(found: Iterable[ListedSwitch], problems: list[str]) -> None:
    """Two names for one event socket would be two switches with the same calls."""
    seen: dict[tuple[str, int], str] = {}
    tethers: dict[str, str] = {}
    for one in found:
        address = one.settings.host, one.settings.port
        if address in seen:
            problems.append(
                f"{KEY}: {seen[address]} and {one.name} have the same address, {address[0]}:{address[1]}"
            )
        seen.setdefault(address, one.name)
        if one.tether and one.tether in tethers:
            problems.append(f"{KEY}: {tethers[one.tether]} and {one.name} have the same tether, {one.tether}")
        tethers.setdefault(one.tether, one.name)
        if one.settings.backoff_min > one.settings.backoff_max:
            problems.append(f"{KEY}: {one.name}: backoff_min must not be above backoff_max")

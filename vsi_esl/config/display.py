"""Settings for people: what is set, the example file, and the table of the manual."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, Field
from typing import Any

from . import switches
from .elsewhere import SET_IN_FREESWITCH
from .given import HIDDEN
from .live import SHARES, changed, live
from .loading import Loaded
from .sections import all_settings, value_of
from .settings import ListedSwitch

SEVERAL = """The file can have a list `switches` in the place of the one switch of `switch`, as in

```yaml
switch:
  password_file: /etc/vsi_esl/password   # of all that say nothing else
switches:
  - name: east
    host: 10.0.0.11
  - name: west
    host: 10.0.0.12
    weight: 2
    capacity: 2000
```

Each entry has a name, and any setting of the section `switch`; what it does not say is as there. Besides:"""

OF_COMPANION = """A switch on another machine has a [companion](companion.md) in its entry:

```yaml
switches:
  - name: north
    host: 10.0.0.13
    companion:
      address: 10.0.0.13:8022
      ca: /etc/vsi_esl/companions/ca.pem
      certificate: /etc/vsi_esl/companions/service.pem
      key: /etc/vsi_esl/companions/service.key
      name: north.example
```"""

EXAMPLE_COMPANION = {
    "address": "10.0.0.12:8022",
    "ca": "/etc/vsi_esl/companions/ca.pem",
    "certificate": "/etc/vsi_esl/companions/service.pem",
    "key": "/etc/vsi_esl/companions/service.key",
    "name": "west.example",
}

RELOAD, RESTART = "reload", "restart"


def differences(before: Loaded, after: Loaded) -> list[dict[str, str]]:
    """The settings that differ, as `describe` has them after the change."""
    keys = frozenset(changed(before, after))
    others = switches.KEY in keys
    return [
        row
        for row in describe(after)
        if row["key"] in keys or (others and row["key"].startswith(f"{switches.KEY}."))
    ]


def describe(loaded: Loaded) -> list[dict[str, str]]:
    """All settings: `key`, `variable`, `value` (secrets hidden), `default`, `source`, `applied_by`, `help`.

    `source` is default, file or environment. A secret's default is public, its value never shown. What a
    change of it takes is `applied_by`, reload or restart.
    """
    rows = []
    reloaded = frozenset(live())
    for key, item in all_settings():
        rows.append(
            {
                "key": key,
                "variable": item.metadata["env"],
                "value": _value(value_of(loaded.config, key), secret=item.metadata["secret"]),
                "default": _default(item),
                "source": loaded.sources[key],
                "applied_by": RELOAD if key in reloaded else RESTART,
                "help": item.metadata["help"],
            }
        )
    for one in loaded.config.switches:
        rows += _listed(loaded, one)
    return rows


def _listed(loaded: Loaded, one: ListedSwitch) -> Iterator[dict[str, str]]:
    """An entry of `switches`: what it says itself is from the file, the rest is of the section `switch`."""
    shared = loaded.config.switch
    for name, item in (*switches.of_entry().items(), *switches.of_switch().items()):
        common = name in switches.of_switch()
        value = getattr(one.settings if common else one, name)
        own = value != (getattr(shared, name) if common else item.default)
        yield {
            "key": f"{switches.KEY}.{one.name}.{name}",
            "variable": "",
            "value": _value(value, secret=item.metadata["secret"]),
            "default": f"that of switch.{name}" if common else "" if name == "name" else _shown(item.default),
            "source": "file" if own else loaded.sources[f"switch.{name}"] if common else "default",
            "applied_by": RELOAD if name in SHARES else RESTART,
            "help": item.metadata["help"],
        }
    for name, item in switches.of_companion().items() if one.companion else ():
        value = getattr(one.companion, name)
        default = "" if item.default is MISSING else str(item.default)
        yield {
            "key": f"{switches.KEY}.{one.name}.{switches.COMPANION}.{name}",
            "variable": "",
            "value": _value(value, secret=False),
            "default": default,
            "source": "file" if value != default else "default",
            "applied_by": RESTART,
            "help": item.metadata["help"],
        }


def _value(value: Any, *, secret: bool) -> str:
    if not secret:
        return _shown(value)
    return HIDDEN if value else "not set"


def _default(item: Field[Any]) -> str:
    text: str = item.metadata["default_text"]
    return text or _shown(item.metadata["default"])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):  # a duration; never with an exponent, which could not be read back
        return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
    return str(value)


def example_yaml() -> str:
    """A file with every setting at its default, commented out, below its meaning."""
    lines = ["# vsi_esl settings. Each can also be given in the environment, under the name in brackets."]
    section = ""
    for key, item in all_settings():
        head, _, name = key.rpartition(".")
        lines.append("")
        if head != section:
            section = head
            lines.append(f"{head}:")
        indent = "  " if head else ""
        lines.append(f"{indent}# {item.metadata['help']} ({item.metadata['env']})")
        if item.metadata["secret"]:
            lines.append(f"{indent}# Better in a file of its own, whose path is {name}_file.")
        if item.metadata["default_text"]:
            lines.append(f"{indent}# Default: {item.metadata['default_text']}.")
        value = item.metadata["example"] or item.metadata["default"]
        # a JSON string is a YAML string, whatever is in it
        lines.append(f"{indent}# {name}: {json.dumps(_shown(value))}")
    lines += ["", "# Several switches instead of one. What an entry does not say is as under switch:."]
    lines += [f"# {switches.KEY}:", "#   - name: east", "#     host: 10.0.0.11"]
    for name, item in switches.of_entry().items():
        if name != switches.NAME:
            lines += [f"#     # {item.metadata['help']}", f"#     {name}: {_shown(item.default)}"]
    lines += ["#   - name: west", "#     host: 10.0.0.12"]
    lines += ["#     # Of a switch on another machine.", f"#     {switches.COMPANION}:"]
    for name, item in switches.of_companion().items():
        lines += [f"#       # {item.metadata['help']}", f"#       {name}: {EXAMPLE_COMPANION[name]}"]
    return "\n".join(lines) + "\n"


def reference_table() -> str:
    """All settings as Markdown tables; and the reference server's variables that are FreeSWITCH's here."""
    lines = ["| Key | Variable | Default | Meaning |", "|---|---|---|---|"]
    for key, item in all_settings():
        name = item.metadata["env"]
        variable = f"`{name}` or `{name}_FILE`" if item.metadata["secret"] else f"`{name}`"
        default = item.metadata["default_text"] or (f"`{_default(item)}`" if _default(item) else "none")
        lines.append(f"| `{key}` | {variable} | {_cell(default)} | {_cell(item.metadata['help'])} |")
    keys = ", ".join(f"`{key}`" for key in live())
    lines += ["", f"`SIGHUP` has the settings read again. Without a restart take effect: {keys}."]
    lines += ["", "## Several switches", "", SEVERAL, ""]
    lines += ["| Member | Default | Meaning |", "|---|---|---|"]
    for name, item in switches.of_entry().items():
        default = "none" if name == switches.NAME else f"`{_shown(item.default)}`"
        lines.append(f"| `{name}` | {default} | {_cell(item.metadata['help'])} |")
    lines += ["", OF_COMPANION, "", "| Member | Default | Meaning |", "|---|---|---|"]
    for name, item in switches.of_companion().items():
        default = "none" if item.default is MISSING else "the host of `address`"
        lines.append(f"| `{name}` | {default} | {_cell(item.metadata['help'])} |")
    lines += ["", "## What is FreeSWITCH's", ""]
    lines += ["| Variable of the reference server | Set in FreeSWITCH |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(instead)} |" for name, instead in SET_IN_FREESWITCH.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

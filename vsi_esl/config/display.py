"""Settings for people: what is set, the example file, and the table of the manual."""

from __future__ import annotations

import json
from dataclasses import Field
from typing import Any

from .elsewhere import SET_IN_FREESWITCH
from .live import live
from .loading import HIDDEN, Loaded
from .sections import all_settings, value_of


def describe(loaded: Loaded) -> list[dict[str, str]]:
    """All settings: `key`, `variable`, `value` (secrets hidden), `default`, `source`, `help`.

    `source` is default, file or environment. A secret's default is public, its value never shown.
    """
    rows = []
    for key, item in all_settings():
        rows.append(
            {
                "key": key,
                "variable": item.metadata["env"],
                "value": _value(value_of(loaded.config, key), secret=item.metadata["secret"]),
                "default": _default(item),
                "source": loaded.sources[key],
                "help": item.metadata["help"],
            }
        )
    return rows


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
    lines += ["", "| Variable of the reference server | Set in FreeSWITCH |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(instead)} |" for name, instead in SET_IN_FREESWITCH.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

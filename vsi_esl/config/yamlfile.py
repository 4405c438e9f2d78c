"""The settings file: YAML in, keys such as `switch.host` with the text that was written out."""

from __future__ import annotations

import re
from typing import Any

import yaml

from ..access import tokens

NULL, MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"

QUOTED = re.compile(r"""\s*('[^']*'|"[^"]*")""")
HARMLESS = re.compile(r"""<.*>|[\[\]{},:?-]""")
"""PyYAML's token names and punctuation; all else that it quotes is from the file, and may be a secret."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without guesses: a scalar stays the text that was written, or is null.

    The settings know their types. With YAML's own, a password of 0123 would become the number 83.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in (NULL, MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _KeyTwice(yaml.YAMLError):
    """Plain YAML loaders silently take the last one."""

    def __init__(self, key: object, mark: yaml.Mark) -> None:
        super().__init__(key)
        self.problem, self.problem_mark = f'key "{tokens.shown(str(key))}" twice', mark


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
        if key_node.value in seen:
            raise _KeyTwice(key_node.value, key_node.start_mark)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class FileError(Exception):
    """The file cannot be read as settings. One line, without anything that could be a secret."""


def read(path: str) -> dict[Any, Any]:
    """The file as nested mappings of text, lists and None. Raises FileError."""
    try:
        with open(path, encoding="utf-8") as file:
            tree = yaml.load(file, _Loader)  # noqa: S506  (a SafeLoader)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: byte {error.start + 1} is not UTF-8") from None
    except yaml.YAMLError as error:
        raise FileError(f"{path}: {_one_line(error)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        # an explicit tag on a value it does not fit (`!!int x`), or thousands of nested brackets
        raise FileError(f"{path}: cannot be read as settings") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise FileError(f"{path}: must hold settings as `key: value`")
    return tree


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "is not YAML"
    if not isinstance(error, _KeyTwice):
        problem = QUOTED.sub(lambda found: found[0] if HARMLESS.fullmatch(found[1][1:-1]) else "", problem)
    return place + problem.replace("\n", " ")

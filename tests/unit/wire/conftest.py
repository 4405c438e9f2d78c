"""Both ends of a line on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certs import Authority
from tests.support.lines import Ends


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another one, of the same name."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture
def ends(authority: Authority, tmp_path: Path) -> Iterator[Callable[..., Ends]]:
    """Make both ends; none is left when the test is over."""
    made: list[Ends] = []

    def make(operations: dict[str, Any], **more: Any) -> Ends:
        made.append(Ends(authority, operations, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()

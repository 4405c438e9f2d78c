"""Which events a listener gets: by the client's pattern over app_id, and by what its token is confined to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from ..access.tokens import Access
from ..errors import Invalid

MAX_REMEMBERED_APP_IDS = 4096
MAX_PATTERN_BYTES = 4096


class AppFilter:
    """An unanchored, case-sensitive RE2 search over app_id; the empty string stands for "no app_id".

    RE2 because the pattern is the client's: it has no exponential backtracking. Raises Invalid with the
    parser's text for a bad pattern.
    """

    def __init__(self, pattern: str) -> None:
        self._search: Callable[[str], Any] | None = None
        self._known: dict[str, bool] = {}
        if not pattern:
            return
        if len(pattern) > MAX_PATTERN_BYTES:
            raise Invalid(f"invalid app_id regex: longer than {MAX_PATTERN_BYTES} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 1 << 20
        try:
            self._search = re2.compile(pattern, options).search
        except (re2.error, UnicodeError) as error:
            raise Invalid(f"invalid app_id regex: {_text(error)}") from None

    def passes(self, app_id: str) -> bool:
        """Whether events with this app_id go through."""
        if self._search is None:
            return True
        known = self._known.get(app_id)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED_APP_IDS:
                self._known.clear()
            known = self._known[app_id] = self._search(app_id) is not None
        return known


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


class ConfinedFilter(AppFilter):
    """The client's filter of events, and the token's."""

    def __init__(self, pattern: str, access: Access) -> None:
        super().__init__(pattern)
        self._access = access

    def passes(self, app_id: str) -> bool:
        return self._access.allows_app(app_id) and super().passes(app_id)

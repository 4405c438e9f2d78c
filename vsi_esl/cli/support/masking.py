"""Takes secrets and phone numbers out of what goes into a bundle.

Known secrets are taken out wherever they stand, in the forms that programs write them in; others by what
stands before them. A number is replaced by the same name each time, so that a call can be followed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from ...ops import privacy

SECRET = "[secret]"  # noqa: S105  (what stands in its place)
MAX_DEPTH = 32
WHOLE_WORDS_BELOW = 6
"""A secret of fewer characters is only taken out where it stands alone: it may be a part of other words."""

NAMES = r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|credentials?|signature|cookie"
FORMS = (
    re.compile(r"(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    # <param name="sip-password" value="..."/>, in either order of its attributes
    re.compile(rf"""(?i)(\bname=["'][\w.-]*(?:{NAMES})[\w.-]*["']\s+value=["'])[^"']*"""),
    re.compile(rf"(?i)(<[\w:.-]*(?:{NAMES})[\w:.-]*>)[^<]*"),
    # name=value, name: value, and name and value in columns
    re.compile(
        rf"""(?i)(\b[\w.-]*(?:{NAMES})[\w.-]*["']?(?:\s*[:=]\s*|[ \t]{{2,}}|\t))"""
        r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^\s,;&}<]+)"""
    ),
    # by themselves: our tokens, and keys of those whose keys can be told
    re.compile(
        r"()\b(?:vsi_(?=\S*[0-9A-Z])[A-Za-z0-9_-]{40,}|AKIA[0-9A-Z]{16}|(?:sk|xi|pk)[-_][A-Za-z0-9_-]{16,})"
    ),
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?<![\w-])()[0-9a-f]{64}(?![\w-])"),
)
"""What stands before a secret stays. 64 hexadecimal digits are what the settings keep of a token."""
URL = re.compile(
    r"""(?ix)\b([a-z][a-z0-9+.-]*://) (?:[^/\s?\#"'<>@]*@)? (\[[0-9a-f:.]*\]|[^/\s?\#"'<>:@,;)]+) (:\d+)?
    ([/?\#][^\s"'<>]*)?"""
)
KEPT = re.compile(
    r"""(?x)
      [0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}      # an id
    | [0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?                    # a time
    | (?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w.])                                  # an address
    | \[number[ ][0-9]+\]
    """
)
NUMBER = re.compile(
    r"""(?ix)
      (?P<sip>  \bsips?: )  (?!mod_sofia@) (?P<user>[^@\s<>"';,\[]+) (?=@)
    | (?P<tel>  \btel: )    (?P<line>[0-9+*\#().-]+)
    | (?P<bare> (?<![\w.]) \+[0-9][0-9 ().-]{5,20}[0-9] | (?<![0-9A-Za-z_.])[0-9]{7,}(?![0-9A-Za-z_.]) )
    """
)


class Mask:
    """Hides `secrets`, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # the longest first: one may be a part of another
        words = sorted(forms, key=len, reverse=True)
        parts = [re.escape(one) if len(one) >= WHOLE_WORDS_BELOW else _alone(one) for one in words]
        self._known = re.compile("|".join(parts)) if parts else None
        self._numbers: dict[str, str] = {}
        self.hidden = 0
        """How many things were hidden."""

    def text(self, text: str, *, numbers: bool = True) -> str:
        """The text without them; with its numbers, where they can be no phone's."""
        if self._known is not None:
            text, count = self._known.subn(SECRET, text)
            self.hidden += count
        text = privacy.FORMS.sub(self._of_a_log, text)
        for form in FORMS:
            text = form.sub(self._form, text)
        text = URL.sub(self._url, text)
        return self._without_numbers(text) if numbers else text

    def data(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """The same for what JSON has: texts, also those that are names, in lists and mappings."""
        if isinstance(value, str):
            return self.text(value)
        if depth == 0:
            return SECRET
        if isinstance(value, dict):
            return {
                self.text(str(name)): SECRET
                if isinstance(inner, str) and inner and privacy.private(str(name))
                else self.data(inner, depth - 1)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.data(inner, depth - 1) for inner in value]
        return value

    def _of_a_log(self, match: re.Match[str]) -> str:
        self.hidden += 1
        return f"{match[match.lastgroup or 0]}{SECRET}"

    def _form(self, match: re.Match[str]) -> str:
        if match[0].endswith((SECRET, f'{SECRET}"', "******")):
            return match[0]
        self.hidden += 1
        return f"{match[1]}{SECRET}"

    def _url(self, match: re.Match[str]) -> str:
        """A path may be a secret: many chat services have nothing else."""
        scheme, host, port, path = match.groups("")
        return f"{scheme}{host}{port}{'/...' if len(path) > 1 else path}"

    def _without_numbers(self, text: str) -> str:
        parts, at = [], 0
        for kept in KEPT.finditer(text):
            parts += [NUMBER.sub(self._number, text[at : kept.start()]), kept[0]]
            at = kept.end()
        return "".join([*parts, NUMBER.sub(self._number, text[at:])])

    def _number(self, match: re.Match[str]) -> str:
        head = match["sip"] or match["tel"] or ""
        number = match["user"] or match["line"] or match["bare"]
        key = re.sub(r"\D", "", number) or number
        self.hidden += 1
        return head + self._numbers.setdefault(key, f"[number {len(self._numbers) + 1}]")


def _alone(secret: str) -> str:
    return rf"(?<!\w){re.escape(secret)}(?!\w)"


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as URLs, JSON, XML and basic authorization have it."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], escape(secret)}
    return found | ({encoded} if len(secret) >= WHOLE_WORDS_BELOW else set())

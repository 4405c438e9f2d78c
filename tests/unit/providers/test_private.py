"""What a provider quotes of a request is not in an error."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

import pytest

from vsi_esl.providers.private import without

TEXT = "Herr Müller, your balance is 1,204 & falling 🙂"
KEY = "sk-proj-0123456789abcdefghij"


@pytest.mark.parametrize(
    "quoted",
    [TEXT, json.dumps(TEXT), json.dumps({"text": TEXT}), escape(TEXT), TEXT.upper(), TEXT[:20], TEXT[10:]],
)
def test_no_part_of_a_text_is_left(quoted):
    left = without(f"cannot say {quoted} today", TEXT)
    assert left.startswith("cannot say ") and left.endswith(" today") and "..." in left
    for part in ("ller", "balance", "1,204", "falling", "MÜLLER", "FALLING", "fc"):
        assert part not in left


def test_no_part_of_a_key_is_left():
    masked = KEY[:8] + "*" * 8 + KEY[-4:]
    assert without(f"bad key: {KEY}.", KEY) == "bad key: ...."
    assert without(f"bad key: {masked}", KEY) == "bad key: ...********ghij"


def test_what_is_not_private_stays_on_one_line():
    assert without('{"a":\r\n"b"}\n', "x", "", "ab") == '{"a": "b"}'
    assert without("Voice not found", "not") == "Voice ... found"

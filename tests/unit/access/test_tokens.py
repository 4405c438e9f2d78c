"""Tokens, scopes, rate limits, and what a confined token can name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypedDict

import pytest
from marshmallow import fields

from vsi_esl.access import tokens
from vsi_esl.access.tokens import OPEN, Access, Bucket, Scope, Tokens, digest_of, line_of, new_token
from vsi_esl.errors import Forbidden, TooMany
from vsi_esl.protocol import confinement, registry
from vsi_esl.protocol.ids import Id, LegId
from vsi_esl.protocol.schemas import Payload, Text, TextList


def test_a_token_is_found_by_itself_only():
    token, other = new_token(), new_token()
    tokens = Tokens([line_of("a", "read", token), line_of("b", "control", other, "acme.*")])
    found = tokens.find(token)
    assert found is not None and (found.name, found.scope, found.confined) == ("a", Scope.READ, False)
    second = tokens.find(other)
    assert second is not None and (second.name, second.pattern) == ("b", "acme.*")
    for wrong in ("", token[:-1], token.upper(), "\udcff", "a", digest_of(token).decode()):
        assert tokens.find(wrong) is None
    assert len(token) > 43 and token.startswith("vsi_")
    assert token not in line_of("a", "read", token)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "NAME:SCOPE:HASH"),
        ("a b:read:" + "0" * 64, "NAME:SCOPE:HASH"),
        ("a:write:" + "0" * 64, "the scope must be read, control or admin"),
        ("a:read:secret", "must be SHA-256 in hex"),
        ("a:read:" + "0" * 64 + ":", "the app_id pattern is empty"),
        ("a:read:" + "0" * 64 + ":(", "bad app_id pattern"),
        ("a:admin:" + "0" * 64 + ":x", "an admin token cannot be confined"),
        (f"a:read:{'0' * 64}:x b:read:{'1' * 64}", "'a': another token stands in its app_id pattern"),
    ],
)
def test_tokens_that_are_wrong(line, problem):
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        Tokens([line])


SECRET = new_token()


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        f"{SECRET}:control",
        f"{SECRET}:control:{'0' * 64}",
        f"{SECRET}:control:{'0' * 64}:acme",
        f"name:{SECRET}",
        f"name:{SECRET}:control",
        f"name:control:{SECRET}",
        f"name:control:{'0' * 64}:{SECRET}",
        f"name:control:{'0' * 64}:({SECRET}",
        f"name:control:{'0' * 64}:*{SECRET}",
        f"name:control:{'0' * 64}:(?P<{SECRET}>",
        f"name {SECRET}:control:{'0' * 64}",
        f"hunter2:hunter2:{'0' * 64}",
        "hunter2",
    ],
)
def test_a_token_pasted_where_its_line_belongs_is_not_said(line):
    with pytest.raises(ValueError, match=r"token 2: ") as caught:
        Tokens([line_of("good", "read", new_token()), line])
    assert SECRET not in str(caught.value) and SECRET[4:20] not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (SECRET, True),
        (f"sip:{SECRET[4:]}@x", True),
        ("9f86d081884c7d659a2feaa0c55ad015", True),
        ("AKIAIOSFODNN7EXAMPLE/wJalrXUtnFEMIK7MDENGbPxRfiCY", True),
        ("http.adress", False),
        ("webhooks.allow_private_urls_of_clients", False),
        ("VSI_ESL_S3_REQUEST_PREFLIGHT_TIMEOUT", False),
        ("127.0.0.1:8080", False),
        ("/var/lib/vsi_esl/state.sqlite3", False),
    ],
)
def test_what_may_be_a_secret(text, secret):
    assert tokens.may_be_secret(text) is secret
    assert (tokens.shown(text) == text) is not secret


def test_names_are_unique():
    lines = [line_of("a", "read", "x"), line_of("a", "read", "y")]
    with pytest.raises(ValueError, match="token 'a' is there twice"):
        Tokens(lines)


def test_scopes_include_each_other():
    Access(scope=Scope.CONTROL).require(Scope.READ)
    OPEN.require(Scope.ADMIN)
    with pytest.raises(Forbidden, match="the token's scope is read; this needs control"):
        Access(scope=Scope.READ).require(Scope.CONTROL)


@pytest.mark.parametrize(
    ("app_id", "allowed"), [("acme", True), ("acme-2", True), ("xacme", False), ("", False), ("ACME", False)]
)
def test_a_pattern_is_matched_as_a_whole(app_id, allowed):
    assert Access(pattern="acme(-[0-9])?").allows_app(app_id) is allowed
    assert OPEN.allows_app(app_id)


def test_a_bucket_fills_again():
    now = [100.0]
    bucket = Bucket(10, lambda: now[0])
    assert [bucket.take() for _ in range(20)] == [0.0] * 20
    assert bucket.take() == pytest.approx(0.1)
    now[0] += 0.11
    assert bucket.take() == 0.0
    assert bucket.take() > 0
    now[0] += 3600
    assert sum(bucket.take() == 0.0 for _ in range(50)) == 20
    assert Bucket(0).take() == 0.0


def test_the_limit_is_told():
    limited = Access(bucket=Bucket(1, lambda: 0.0))
    limited.spend()
    limited.spend()
    with pytest.raises(TooMany, match="rate limit exceeded") as caught:
        limited.spend()
    assert caught.value.wait == 1.0


class Refused(Payload):
    leg_id = Text()


class Unnamed(Payload):
    id = Id()


class Several(Payload):
    room_ids = TextList()


class Spelled(Payload):
    leg = Text(data_key="legID")


class Inner(Payload):
    leg_id = LegId()


class Nested(Payload):
    rows = fields.List(fields.Nested(Inner))


class Totals(TypedDict):
    legs: int


def unheard(ctx: Any, **_: Any) -> Totals:
    """Count."""
    return {"legs": 0}


@pytest.mark.parametrize("schema", [Refused, Unnamed, Several, Spelled, Nested])
def test_an_id_that_nobody_says_what_it_names_is_refused_at_import(schema):
    """A command whose ids confinement does not know would be open to all tenants."""
    with pytest.raises(ValueError, match=r"get_sip_trunk: .* names nothing that is known"):
        registry.command("get_sip_trunk", schema)(unheard)


def test_what_names_nothing_is_about_everything():
    context: Any = None
    confined = confinement.Confinement(context, Access(pattern="a"), registry.load_commands()["list_legs"])
    assert confined.result([{"id": "1"}, {"id": "2", "app_id": "a"}]) == [{"id": "2", "app_id": "a"}]
    for reply in (Totals, list[Totals]):
        about_all = replace(registry.load_commands()["list_legs"], reply=reply)
        with pytest.raises(Forbidden, match="not for a token that is confined to an app_id"):
            confinement.Confinement(context, Access(pattern="a"), about_all)

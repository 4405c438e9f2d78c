"""The command builder: what it lets through arrives as it was, and the rest is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsi_esl.errors import BadArgument
from vsi_esl.model.sipuri import sip_uri
from vsi_esl.sandbox import quoting
from vsi_esl.switch.lines import builder
from vsi_esl.switch.lines.targets import Target

UUID = "0b6c2a1e-0000-4000-8000-000000000001"
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
nasty = st.text(st.sampled_from("\\' ,;={}[]()|\"$:_^&+@%ab\t\n\r\0é😀ARY"), max_size=40)


@given(st.one_of(text, nasty))
def test_setvar_values_arrive_as_sent(value):
    try:
        line = builder.setvar(UUID, "vsi_x", value)
    except BadArgument:
        assert builder.CONTROL.search(value) or value.startswith("ARRAY::")
        return
    assert "\n" not in line and "\r" not in line
    prefix = f"uuid_setvar {UUID} vsi_x"
    assert line.startswith(prefix)
    assert quoting.unquote_once(line[len(prefix) + 1 :]) == value


@given(
    st.dictionaries(st.sampled_from(["vsi_a", "vsi_b", "sip_h_X-Test"]), st.one_of(text, nasty), min_size=1)
)
def test_originate_values_arrive_as_sent(values):
    try:
        line = builder.originate(Target("sofia/vsi/sip:bob@127.0.0.1:5080;transport=udp"), values)
    except BadArgument:
        assert any(
            builder.CONTROL.search(value) or value.startswith("ARRAY::") or re.search(r"[{}]|:_:", value)
            for value in values.values()
        )
        return
    dial_string, rest = quoting.originate_words(line.removeprefix("originate "))
    variables, target = quoting.braces(dial_string)
    assert rest == "&park()"
    assert target == "sofia/vsi/sip:bob@127.0.0.1:5080;transport=udp"
    assert variables == values


@given(text)
def test_encoded_text_is_harmless_and_comes_back(value):
    encoded = builder.encode_text(value)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]*", encoded)
    assert builder.decode_text(encoded) == value


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@example.com",
        "sip:+15550100@10.0.0.1:5080",
        "sip:example.com",
        "sip:bob@[2001:db8::1]:5060",
        "sip:bob@example.com;transport=tcp;lr",
        "sip:a%20b;ext=5@example.com",
        "sips:bob@example.com",
        "sips:bob@[::1]:5061;transport=tcp",
        "sip:[::ffff:10.0.0.1]",
    ],
)
def test_good_uris(uri):
    assert sip_uri(uri) == uri


@pytest.mark.parametrize("scheme", ["SIP", "Sip", "sIP"])
def test_the_scheme_of_a_uri_has_no_case(scheme):
    assert sip_uri(f"{scheme}:Bob@my_host.Example:5060") == "sip:Bob@my_host.Example:5060"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "bob",
        "tel:+1555",
        "sips:a@b;transport=udp",
        "sip:a@b;transport=ws",
        "sip:a@b;transport=tlsx",
        "sip:a@b;transport=tcp;transport=udp",
        "sip:transport=ws@b",
        "sip:a%70ort=tcp@b",
        "sip:a;port=tls@b",
        "sip:a@b;xport=tls",
        "sip:a@b;received=1.2.3.4",
        "sip:a@[1:2]",
        "sip:a@[::1]:0",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@[::ffff:1.2.3.4%25eth0]",
        "SIP:a@b;FS_PATH=sip:evil",
        "SIP:a@b:99999",
        "sip:",
        "sip:bob@",
        "sip:a@b,sip:c@d",
        "sip:a@b|sip:c@d",
        "sip:a@b:_:sip:c@d",
        "sip:a@b?X-Evil=1",
        "sip:a@b;fs_path=sip:evil",
        "sip:a@b;FS_PATH=sip:evil",
        "sip:a@b;%66s_path=sip:evil",
        "sip:a@b;fs_nat=yes;transport=tcp",
        "sip:a;fs_x@b",
        "sip:a@b^sip:z@h",
        "sip:a@b\r\nX-Evil: 1",
        "sip:a'b@c",
        "sip:a b@c",
        "sip:{a=b}c@d",
        "sip:a@b:99999",
        "sip:a@b:0",
        "<sip:a@b>",
        "sip:${x}@b",
        "sip:" + "a" * 300 + "@b",
    ],
)
def test_bad_uris(uri):
    with pytest.raises(BadArgument):
        sip_uri(uri)


@pytest.mark.parametrize(
    ("build", "value"),
    [
        (builder.uuid, "a b"),
        (builder.uuid, ""),
        (builder.uuid, "x\nexit"),
        (builder.name, "room,system:ls"),
        (builder.digits, "12 34"),
        (builder.digits, "5@100"),
        (builder.digits, ""),
        (builder.cause, "normal"),
        (builder.cause, "17"),
        (builder.member, "all"),
        (builder.member, "-1"),
        (builder.variable, "a=b"),
        (builder.header_name, "X-A: evil"),
        (builder.header_name, "X A"),
        (builder.header_name, ""),
    ],
)
def test_what_is_not_on_the_allow_list_is_refused(build, value):
    with pytest.raises(BadArgument):
        build(value)


def test_nested_variables_cannot_be_switched_on():
    with pytest.raises(BadArgument):
        builder.originate(Target("sofia/vsi/sip:a@b"), {"origination_nested_vars": "true"})


def test_conference_flags_and_park_behind_it():
    line = builder.transfer_to_conference(UUID, "bond", "vsi-1", 16000, mute=True, deaf=True)
    room = "conference:vsi-1@vsi16000+flags{mute|deaf}"
    assert line == f"uuid_transfer {UUID} 'set:signal_bond=bond,set:max_forwards=70,{room},park' inline"


def test_a_call_dialled_into_a_room_has_its_flags_from_its_channel():
    then = builder.dialled_into("bond", "vsi-1", 16000, "vsi_joining")
    line = builder.originate(Target("sofia/vsi/sip:a@b"), {}, then)
    room = "conference:vsi-1@vsi16000+flags{${vsi_joining}}"
    assert then == f"'set:signal_bond=bond,set:max_forwards=70,{room},park' inline"
    assert line == f"originate {{}}sofia/vsi/sip:a@b {then}"
    for bad in ("vsi-1,hangup", "vsi-1@default", "${x}"):
        with pytest.raises(BadArgument):
            builder.dialled_into("bond", bad, 16000, "vsi_joining")


def test_no_event_socket_text_is_built_outside_the_switch_package():
    """Principle 5: one way to talk to the switch."""
    package = Path(builder.__file__).parents[2]
    pattern = re.compile(r"""f['"](uuid_|conference |originate|bgapi|api |sendmsg)""")
    offenders = [
        path
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] not in ("switch", "sandbox")
        and pattern.search(path.read_text())
    ]
    assert offenders == []

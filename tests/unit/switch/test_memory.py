"""What is kept of a leg on its channel."""

from __future__ import annotations

from vsi_esl.model.amd import AmdParameters
from vsi_esl.model.leg import Leg
from vsi_esl.switch import memory


def leg(**more) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 100.0, **more})


def test_memory_holds_everything_that_matters():
    one = leg(app_id="a, b}", role="r'1", target_room="späce", muted=True, accept_dtmf=False, dtmf_seq=7)
    one.ring_deadline, one.held_since = 123.5, 9.25
    one.amd = AmdParameters(greeting_duration=900, beep_timeout=7000)
    event = {f"variable_{key}": value for key, value in memory.variables(one).items()}
    copy = leg()
    memory.recall(copy, event)
    for name in (
        "app_id",
        "role",
        "target_room",
        "muted",
        "accept_dtmf",
        "dtmf_seq",
        "ring_deadline",
        "held_since",
        "amd",
    ):
        assert getattr(copy, name) == getattr(one, name)


def test_memory_takes_nonsense_for_nothing():
    copy = leg()
    memory.recall(
        copy, {"variable_vsi_dtmf_seq": "x", "variable_vsi_muted": "maybe", "variable_vsi_role": ["a"]}
    )
    for nonsense in ("", "x", "1-2-3", "1-2-3-4-5-6-7", ["a"]):
        memory.recall(copy, {"variable_vsi_amd": nonsense})
    assert (copy.dtmf_seq, copy.muted, copy.role, copy.amd) == (0, False, "", None)


def test_a_new_channel_is_told_only_what_a_new_leg_would_not_have():
    leg = Leg(id="a", type="sip_outbound", created_at=5.5, uri="sip:a@b", muted=True, accept_dtmf=False)
    told = memory.first_variables(leg)
    assert set(told) == {"vsi_created_at", "vsi_uri", "vsi_muted", "vsi_accept_dtmf"}
    built = Leg(id="a", type="sip_outbound", created_at=0.0)
    memory.recall(built, {f"variable_{key}": value for key, value in told.items()})
    assert built == leg


def test_a_channel_is_reminded_only_of_what_it_has_otherwise():
    """What is absent is recalled as it is of a new leg."""
    one = leg(muted=False, accept_dtmf=True, role="r", dtmf_seq=0)
    assert memory.forgotten(one, {}) == {"vsi_created_at": "100.0", "vsi_role": "r"}
    known = {"variable_vsi_created_at": "100.0", "variable_vsi_role": "r", "variable_vsi_muted": "true"}
    assert memory.forgotten(one, known) == {"vsi_muted": "false"}
    one.accept_dtmf = False
    assert memory.forgotten(one, known | {"variable_vsi_muted": "false"}) == {"vsi_accept_dtmf": "false"}


def test_only_a_leg_that_is_no_plain_sip_leg_remembers_its_type():
    assert memory.TYPE not in memory.variables(leg()) | memory.first_variables(leg(type="sip_outbound"))
    for told in (memory.variables(leg(type="whatsapp_in")), memory.first_variables(leg(type="whatsapp_in"))):
        assert memory.type_of({f"variable_{key}": value for key, value in told.items()}) == "whatsapp_in"
    for nonsense in ({}, {"variable_vsi_type": "fax"}, {"variable_vsi_type": ["sip_inbound"]}):
        assert memory.type_of(nonsense) == ""

"""Transfers of ours: one end of each, whatever fails, and nothing left behind it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes import FakeService, channel, settle
from vsi_esl.calls.moments import Signal
from vsi_esl.errors import Conflict, NotFound, StorageFailed, SwitchUnavailable
from vsi_esl.transfers import feature, outgoing
from vsi_esl.transfers.commands import leg_transfer
from vsi_esl.transfers.outgoing import KIND, Report, Transfers

TARGET = "sip:bob@example.com"


class Service(FakeService):
    """With the feature."""

    def __init__(self) -> None:
        super().__init__()
        feature.register(self.ctx)

    def transfer(self, leg: str = "a", replaces_leg_id: str = "") -> None:
        answer = leg_transfer(self.ctx, leg, target=TARGET, replaces_leg_id=replaces_leg_id)
        assert answer == {"status": "transfer_initiated"}
        settle()

    def answers_refer(self, status: str, leg: str = "a") -> None:
        one = self.ctx.legs.find(leg)
        outgoing.signalled(self.ctx, one, Signal(f"SIP/2.0 {status}", "CSeq", "5 REFER", True))
        settle()

    def notifies(self, line: str, state: str, leg: str = "a") -> None:
        one = self.ctx.legs.find(leg)
        signal = Signal("NOTIFY sip:x SIP/2.0", "Subscription-State", state, True)
        outgoing.signalled(self.ctx, one, signal)
        if line:
            headers = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_refer", "UniqueID": leg}
            self.report({**headers, "subscription-substate": state.partition(";")[0], "_body": line})
        settle()

    def restarted(self) -> None:
        """As the next process finds it: what is remembered is all there is."""
        self.ctx.get(Transfers).running.clear()
        outgoing.restore(self.ctx)
        self.reconnects()
        settle()

    @property
    def ends(self) -> list[str]:
        kinds = [kind.removeprefix("leg.transfer_") for kind in self.types]
        return [kind for kind in kinds if kind in ("completed", "failed")]

    @property
    def remembered(self) -> list[dict[str, Any]]:
        return self.ctx.state.items(KIND)

    def nothing_left(self) -> None:
        transfers = self.ctx.get(Transfers)
        assert (transfers.running, transfers.replaced, self.remembered) == ({}, set(), [])
        assert not [owner for owner in self.timers._timers if owner.startswith("transfer ")]


@pytest.fixture
def service():
    one = Service()
    yield one
    one.close()


def test_nothing_is_begun_that_is_not_remembered(service, monkeypatch):
    def refuses(*_: Any, **__: Any) -> None:
        raise StorageFailed("the disk is full")

    service.leg()
    monkeypatch.setattr(service.ctx.state, "save_item", refuses)
    with pytest.raises(StorageFailed):
        service.transfer()
    assert (service.types, service.switch.heard("uuid_deflect")) == ([], [])
    service.nothing_left()


@pytest.mark.parametrize("how", ["gone", "ending"])
def test_a_leg_that_ends_while_it_is_remembered_is_not_transferred(service, monkeypatch, how):
    leg = service.leg()
    save = service.ctx.state.save_item

    def ends(*args: Any, **more: Any) -> None:
        save(*args, **more)
        if how == "gone":
            service.ctx.legs.remove(leg)
        else:
            leg.ending = "api_hangup"

    monkeypatch.setattr(service.ctx.state, "save_item", ends)
    with pytest.raises(NotFound):
        service.transfer()
    assert service.ends == []
    service.nothing_left()


def test_a_channel_that_the_switch_has_not_is_no_leg_to_transfer(service):
    service.leg()
    service.switch.answers("uuid_setvar a sip_refer", "-ERR No such channel!")
    with pytest.raises(Conflict):
        service.transfer()
    service.nothing_left()


def test_a_refer_that_the_switch_refuses_to_send(service):
    service.leg()
    service.switch.answers("uuid_deflect", "-ERR No such channel a!")
    service.transfer()
    (event,) = service.told("leg.transfer_failed")
    assert event["error"].startswith("REFER not sent: ")
    service.nothing_left()


def test_whether_a_refer_went_out_is_asked_when_the_connection_is_back(service):
    service.leg()
    service.switch.answers("uuid_deflect", SwitchUnavailable("the connection was lost"))
    service.switch.answers("uuid_getvar a sip_refer_status_code", "_undef_")
    service.switch.answers("uuid_getvar a sip_refer_reply", "_undef_")
    service.transfer()
    assert service.ends == []
    service.switch.answers("uuid_getvar a sip_refer_status_code", "100")
    service.reconnects()
    settle()
    assert service.ends == []
    service.switch.answers("uuid_getvar a sip_refer_status_code", "_undef_")
    service.reconnects()
    settle()
    (event,) = service.told("leg.transfer_failed")
    assert event["error"] == "REFER not sent: the connection to the switch was lost"
    service.nothing_left()


def test_a_connection_that_is_lost_before_the_transfer_has_begun(service, monkeypatch):
    """What looks after those under way at the next connect leaves it alone."""
    leg = service.leg()

    def lost(one: Any) -> None:
        service.reconnects()
        settle()
        raise SwitchUnavailable("the connection was lost")

    monkeypatch.setattr(service.ctx.node(leg).refers, "prepare", lost)
    service.switch.answers("uuid_getvar a sip_refer_status_code", "_undef_")
    with pytest.raises(SwitchUnavailable):
        service.transfer()
    assert service.types == []
    service.nothing_left()


def test_a_report_of_the_last_word_and_its_header_are_one(service):
    service.leg()
    service.transfer()
    service.answers_refer("202 Accepted")
    service.notifies("SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    assert service.ends == ["completed"]
    assert service.switch.heard("uuid_kill a")
    service.hangs_up("a")
    service.nothing_left()


def test_a_header_without_its_report(service):
    service.leg()
    service.transfer()
    service.notifies("", "terminated")
    assert service.ends == []
    service.timers.fire("transfer a", "nothing")
    settle()
    (event,) = service.told("leg.transfer_failed")
    assert not {"status_code", "reason", "error"} & event.keys()
    service.hangs_up("a")
    service.nothing_left()


def test_of_many_ends_the_first_counts(service):
    service.leg()
    service.transfer()
    service.answers_refer("603 Decline")
    service.answers_refer("202 Accepted")
    service.notifies("SIP/2.0 180 Ringing", "active")
    assert service.ends == ["failed"]
    assert "leg.transfer_progress" not in service.types
    service.nothing_left()


def test_a_transfer_whose_leg_nobody_knows_any_more_is_forgotten(service):
    """The process before had told of both ends, and did not come to forgetting it."""
    body = {"leg_id": "a", "app_id": "", "node": "default", "target": TARGET, "replaces": "", "id": "1"}
    service.ctx.state.save_item(KIND, "1", body)
    service.restarted()
    assert service.types == []
    service.nothing_left()


def test_a_leg_that_the_process_before_was_ending_for_a_completed_transfer(service):
    service.leg(ending="transfer_completed")
    body = {"leg_id": "a", "app_id": "", "node": "default", "target": TARGET, "replaces": "", "id": "1"}
    service.ctx.state.save_item(KIND, "1", body)
    service.restarted()
    service.hangs_up("a")
    assert service.ends == []
    service.nothing_left()


def test_a_restarted_service_asks_whether_the_dialog_is_there(service, monkeypatch):
    monkeypatch.setattr(outgoing, "SILENT_S", 0.01)
    service.leg()
    service.switch.channels["a"] = channel("a")
    service.switch.answers("uuid_getvar a sip_refer_status_code", "202")
    service.switch.answers("uuid_getvar a sip_refer_reply", "SIP/2.0 603 Decline\r\n")
    service.transfer()
    service.restarted()
    (event,) = service.told("leg.transfer_failed")
    assert (event["status_code"], event["reason"]) == (603, "Decline")
    service.wait_for("leg.transfer_failed")
    assert service.switch.heard("sendevent NOTIFY a keep-alive")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("SIP/2.0 200 OK\r\n", (200, "OK")),
        ("SIP/2.0 180 Ringing\r\nContact: <sip:x>\r\n", (180, "Ringing")),
        ("SIP/2.0 486", (486, "")),
        ("SIP/2.0 486 \r\n", (486, "")),
        ("SIP/2.0 99 Low", (0, "")),
        ("SIP/2.0 700 High", (0, "")),
        ("SIP/2.0 2000 OK", (0, "")),
        ("SIP/1.0 200 OK", (0, "")),
        ("HTTP/1.1 200 OK", (0, "")),
        ("", (0, "")),
        ("\r\nSIP/2.0 200 OK", (0, "")),
        ("SIP/2.0 200 " + "x" * 1000, (200, "x" * 256)),
    ],
)
def test_what_a_report_says(line, read):
    report = Report.of(line, False)
    assert (report.status, report.reason) == read

"""A peer's REFER by the headers that the switch shows of it, in whatever order they were."""

from __future__ import annotations

import pytest

from tests.support.fakes import FakeService, settle
from vsi_esl.transfers import feature, referred
from vsi_esl.transfers.requests import Requests
from vsi_esl.work import clock

TARGET = "<sip:bob@example.com>"


@pytest.fixture
def service():
    service = FakeService()
    feature.register(service.ctx)
    service.leg("a")
    yield service
    service.close()


def refer(service, number, *headers):
    """A REFER comes; the number that its reports will name it by."""
    values = {"CSeq": f"{number} REFER", "Refer-To": TARGET}
    for name in headers:
        service.report(
            {
                "Event-Name": "CUSTOM",
                "Event-Subclass": "sofia::notify_watched_header",
                "Unique-ID": "a",
                "SIP-Message": "REFER sip:vsi@127.0.0.1 SIP/2.0",
                "Header-Name": name,
                "Header-Value": values[name],
                "variable_signal_bond": "vsi-bond",
            }
        )
    settle()
    return service.ctx.get(Requests).of_leg["a"].number


def test_it_has_the_number_of_its_cseq(service):
    assert [refer(service, number, "CSeq", "Refer-To") for number in (2, 3)] == [2, 3]


def test_the_cseq_behind_one_is_not_of_the_next(service, monkeypatch):
    assert refer(service, 2, "Refer-To", "CSeq") == 0
    later = clock.now() + referred.SAME_MESSAGE_S
    monkeypatch.setattr(clock, "now", lambda: later)
    assert refer(service, 3, "Refer-To", "CSeq") == 0
    assert refer(service, 4, "CSeq", "Refer-To") == 4

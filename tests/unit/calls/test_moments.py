"""Features are told of moments."""

from __future__ import annotations

import pytest

from tests.support.log import recorded_log
from vsi_esl import features
from vsi_esl.calls.moments import Moment, Moments


def test_subscribers_are_told_in_order_and_their_answers_kept():
    moment, told = Moment("m"), []
    for number in range(3):
        moment.subscribe(lambda *args, number=number, **more: told.append((number, args, more)) or number)
    assert moment("leg", room="r") == [0, 1, 2]
    assert told == [(number, ("leg",), {"room": "r"}) for number in range(3)]


def test_a_fault_of_one_is_logged_and_not_the_others():
    def broken():
        raise RuntimeError("a fault")

    moment = Moment("media_up")
    for subscriber in (lambda: 1, broken, lambda: 3):
        moment.subscribe(subscriber)
    with recorded_log() as log:
        assert moment() == [1, 3]
    (line,) = log.named("a feature failed")
    assert (line["moment"], line["feature"], line["level"]) == ("media_up", __name__, "error")
    assert "a fault" in line["exception"]


def test_what_a_fault_has_no_say_in_passes():
    """A greenlet that is killed while it tells a moment ends."""

    def killed():
        raise KeyboardInterrupt

    moment = Moment("m")
    moment.subscribe(killed)
    with pytest.raises(KeyboardInterrupt):
        moment()


def test_without_subscribers_nothing_happens():
    assert Moment("m")() == []


def test_each_moment_has_its_own_name_and_subscribers():
    moments = vars(Moments())
    assert {name: moment.name for name, moment in moments.items()} == {name: name for name in moments}
    moments["left"].subscribe(lambda *_: 1)
    assert moments["joined"](None, None, None) == []


def test_features_are_told_in_the_order_of_the_list(service, monkeypatch, tmp_path):
    order = []
    subscribe = Moment.subscribe

    def noted(moment, subscriber):
        order.append(subscriber.__module__.rpartition(".")[0])
        subscribe(moment, subscriber)

    monkeypatch.setattr(Moment, "subscribe", noted)
    monkeypatch.setenv("HOME", str(tmp_path))
    features.register(service.ctx)
    packages = [name.rpartition(".")[0] for name in features.FEATURES]
    assert list(dict.fromkeys(order)) == [one for one in packages if one in order]
    assert len(set(order)) > len(packages) / 2, "most are told of some"

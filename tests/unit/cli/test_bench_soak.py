"""What `vsi-esl bench calls` says of a service over time."""

from __future__ import annotations

import pytest

from vsi_esl.cli.bench import soak
from vsi_esl.cli.figures import Figures, NoFigures

MB = 1 << 20
BOUNDS = (0.001, 0.01, 0.1, float("inf"))


def reading(number: int, memory: float = 100 * MB, descriptors: float = 30, bound: int = 0) -> Figures:
    """One of a service whose lags are all in one bucket."""
    lag = {one: float(10 * number) if index >= bound else 0.0 for index, one in enumerate(BOUNDS)}
    counters = dict.fromkeys(
        ("events", "dropped", "cpu_seconds", "commands", "calls", "answered"), float(number)
    )
    return Figures(5.0 * number, counters, {"memory_bytes": memory, "descriptors": descriptors}, lag)


def test_a_service_that_stays_as_it_is_is_flat():
    found = soak.changes([reading(number) for number in range(30)])
    assert {name: one.flat for name, one in found.items()} == dict.fromkeys(
        ("memory", "descriptors", "lag"), True
    )
    assert list(soak.lines(found)) == [
        "over time  memory 100.0 MB to 100.0 MB: flat",
        "           descriptors 30 to 30: flat",
        "           loop lag p99 1 ms to 1 ms: flat",
    ]


@pytest.mark.parametrize(
    ("grown", "name"),
    [
        (lambda number: reading(number, memory=(100 + number) * MB), "memory"),
        (lambda number: reading(number, descriptors=30 + number), "descriptors"),
    ],
)
def test_what_grows_is_not_flat(grown, name):
    found = soak.changes([grown(number) for number in range(30)])
    assert [one for one in found if not found[one].flat] == [name]
    assert sum("NOT flat" in line for line in soak.lines(found)) == 1
    assert soak.as_json(found)[name]["flat"] is False


def test_a_lag_that_grows_is_not_flat():
    late = [reading(number) for number in range(20)]
    for number in range(20, 30):
        one = reading(number)
        late.append(
            Figures(
                one.at,
                one.counters,
                one.gauges,
                {0.001: 190.0, 0.1: 10.0 * number, float("inf"): 10.0 * number},
            )
        )
    assert soak.changes(late)["lag"].flat is False


def test_what_is_needed_from_the_first_call_on_is_no_growth():
    found = soak.changes([reading(number, memory=(100 if number > 3 else 60) * MB) for number in range(30)])
    assert found["memory"].first == found["memory"].last


def test_too_short_a_run_and_one_with_a_restart_say_nothing():
    assert soak.changes([reading(number) for number in range(8)]) == {}
    assert soak.changes([reading(number % 20) for number in range(40)]) == {}


def test_a_service_that_is_away_for_a_while_is_read_again(monkeypatch):
    monkeypatch.setattr(soak, "EVERY_S", 0.001)
    asked = iter(range(1, 1000))

    def read() -> Figures:
        if (number := next(asked)) % 3 == 0:
            raise NoFigures("away")
        return reading(number)

    watch = soak.Watch(read, 0.01)
    while next(iter(watch._readings[20:]), None) is None:
        watch._greenlet.join(0.01)
    assert watch.stop()["descriptors"].flat

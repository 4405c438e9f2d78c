"""What a media worker does for answering machine detection."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import pytest

from tests.support.inasyncio import in_asyncio
from tests.support.mediaparts import HUMAN, result, sound
from tests.support.mediaworker import Fork, MediaWorker, Session
from vsi_esl.media.messages import FORK, Close, Closed, Ear, Report
from vsi_esl.media.tasks import FRAME_MS, TASK_RATE, amd
from vsi_esl.model.amd import AmdParameters


def parameters(**changed: int) -> dict[str, Any]:
    return asdict(AmdParameters()) | changed


MACHINE = sound(200) + sound(1520, 440)


@in_asyncio
async def test_a_verdict_is_reported_and_ends_the_task() -> None:
    async with Session() as session:
        session.audio.feed(HUMAN)
        session.start("amd", parameters())
        await session.running
        assert session.reports == [result("human", 220, 440, 1460)]


@in_asyncio
async def test_without_a_timeout_no_beep_is_waited_for() -> None:
    async with Session() as session:
        session.audio.feed(MACHINE + sound(200, 1000))
        session.start("amd", parameters())
        await session.running
        assert session.reports == [result("machine", 220, 1500, 1720)]


@in_asyncio
async def test_the_beep_is_timed_from_the_verdict() -> None:
    async with Session() as session:
        session.audio.feed(MACHINE + sound(300, 440) + sound(500) + sound(200, 1000))
        session.start("amd", parameters(beep_timeout=3000))
        await session.running
        assert session.reports == [result("machine", 220, 1500, 1720), ("beep", {"beep_ms": 880})]


@pytest.mark.parametrize(("late", "told"), [(0, [("beep", {"beep_ms": 1000})]), (FRAME_MS, [])])
@in_asyncio
async def test_a_beep_is_in_time_or_not_told_of(late: int, told: list[Any]) -> None:
    async with Session() as session:
        session.audio.feed(MACHINE + sound(920 + late) + sound(200, 1000))
        session.start("amd", parameters(beep_timeout=1000))
        await session.running
        assert session.reports[1:] == told


@in_asyncio
async def test_only_a_machine_has_a_beep() -> None:
    async with Session() as session:
        session.audio.feed(HUMAN + sound(200, 1000))
        session.start("amd", parameters(beep_timeout=3000))
        await session.running
        assert [what for what, _ in session.reports] == ["result"]


@in_asyncio
async def test_a_beep_alone_goes_on_from_a_verdict_of_before() -> None:
    async with Session() as session:
        session.audio.feed(sound(200) + sound(200, 1000))
        session.start("amd", parameters(beep_timeout=3000, machine_since_ms=2500))
        await session.running
        assert session.reports == [("beep", {"beep_ms": 2780})]


@in_asyncio
async def test_a_beep_alone_has_the_time_that_is_left() -> None:
    async with Session() as session:
        session.audio.feed(sound(440) + sound(200, 1000))
        session.start("amd", parameters(beep_timeout=3000, machine_since_ms=2500))
        await session.running
        assert session.reports == []


@in_asyncio
async def test_audio_that_ends_leaves_it_not_sure() -> None:
    async with Session() as session:
        session.audio.feed(sound(200) + sound(400, 440))
        session.audio.end()
        session.start("amd", parameters())
        await session.running
        assert session.reports == [result("not_sure", 220, 380, 600)]


@in_asyncio
async def test_a_task_that_has_to_end_says_how_far_it_came_once() -> None:
    async with Session() as session:
        session.audio.feed(sound(200) + sound(400, 440))
        task = session.start("amd", parameters())
        await asyncio.sleep(0)  # the task hears
        await task.finish()
        session.audio.end()
        await session.running
        assert session.reports == [result("not_sure", 220, 380, 600)]


@in_asyncio
async def test_ending_it_while_it_waits_for_a_beep_says_nothing_more() -> None:
    async with Session() as session:
        session.audio.feed(MACHINE)
        task = session.start("amd", parameters(beep_timeout=3000))
        await session.reported("result")
        await task.finish()
        session.audio.end()
        await session.running
        assert len(session.reports) == 1


@pytest.mark.parametrize(
    ("heard", "told"),
    [(sound(200), result("no_speech", 200, 0, 200)), (sound(400, 440), result("not_sure", 20, 380, 400))],
)
@in_asyncio
async def test_audio_that_stops_to_come_has_its_verdict_by_the_clock(heard: bytes, told: Any) -> None:
    async with Session() as session:
        session.audio.feed(heard)
        session.start("amd", parameters(total_analysis_time=1000))
        started = asyncio.get_running_loop().time()
        await session.running
        passed = asyncio.get_running_loop().time() - started
        assert session.reports == [told]
        assert 0.9 <= passed < 20


@in_asyncio
async def test_a_beep_that_stalls_is_given_up_by_the_clock() -> None:
    async with Session() as session:
        session.audio.feed(MACHINE)
        session.start("amd", parameters(greeting_duration=100, total_analysis_time=400, beep_timeout=20))
        await session.running
        assert [what for what, _ in session.reports] == ["result"]


@in_asyncio
async def test_the_clock_begins_with_the_audio() -> None:
    async with Session() as session:
        session.brought.clear()
        session.start("amd", parameters(total_analysis_time=1, initial_silence_timeout=1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(session.running), 2 * amd.LATE_MS / 1000)
        assert session.reports == []
        session.brought.set()
        assert await session.reported("result") == [result("no_speech", 0, 0, 0)[1]]


def test_in_a_worker_it_hears_a_fork() -> None:
    with MediaWorker() as worker:
        opened = worker.opened("s", "amd", parameters=parameters(), ear=Ear(kind=FORK, rate=TASK_RATE))
        fork = Fork(opened.url)
        fork.send(HUMAN)
        data = worker.expect(Report, "s", "result").data
        filled = data["initial_silence_ms"] - 220
        assert data == result("human", 220 + filled, 440, 1460 + filled)[1]
        assert filled % 200 == 0, "what is filled in for a fork that is slow to bring something"
        assert worker.expect(Closed, "s").reason == "done"
        assert fork.gone()
        fork.close()


def test_in_a_worker_that_is_told_to_end_it_says_how_far_it_came() -> None:
    with MediaWorker() as worker:
        opened = worker.opened("s", "amd", parameters=parameters(), ear=Ear(kind=FORK, rate=TASK_RATE))
        fork = Fork(opened.url)
        fork.send(sound(200))
        worker.expect(Report, "s", "attached")
        worker.send(Close(session="s", grace_s=20.0))
        data = worker.expect(Report, "s", "result").data
        assert data == result("not_sure", data["initial_silence_ms"], 0, data["total_analysis_ms"])[1]
        assert worker.expect(Closed, "s").reason == "closed"
        fork.close()

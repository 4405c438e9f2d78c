"""Says what it hears: for the self-test of a switch's live audio, and for benchmarks."""

from __future__ import annotations

from . import TASK_RATE, Task


class Echo(Task):
    """Until the audio ends."""

    async def run(self) -> None:
        while (frame := await self.work.audio.get()) is not None:
            self.work.voice.say(frame, TASK_RATE)


TASK = Echo

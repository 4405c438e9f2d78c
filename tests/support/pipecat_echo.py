"""A Pipecat bot that says what it hears: `PYTHON tests/support/pipecat_echo.py PORT`, with a Python that has
pipecat-ai, which goes with none of ours (it wants another protobuf and another soxr).

It tells of digits and texts as its own transcripts, and is interrupted by the text "stop". Prints a line when
it listens.
"""

import asyncio
import sys

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    OutputAudioRawFrame,
    OutputTransportMessageUrgentFrame,
    TextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.websocket.server import (
    SingleClientWebsocketServerParams,
    SingleClientWebsocketServerTransport,
)
from pipecat.workers.runner import WorkerRunner


class Echo(FrameProcessor):
    """Audio back, and a word of what else came."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            said = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
            await self.push_frame(said)
        elif isinstance(frame, InputDTMFFrame):
            await self._say(f"digit {frame.button.value}")
        elif isinstance(frame, TextFrame):
            if frame.text == "stop":
                await self.broadcast_interruption()
            await self._say(f"text {frame.text}")
        else:
            await self.push_frame(frame, direction)

    async def _say(self, text: str) -> None:
        message = {"label": "rtvi-ai", "type": "bot-transcription", "data": {"text": text}}
        await self.push_frame(OutputTransportMessageUrgentFrame(message=message))


async def main(port: int) -> None:
    transport = SingleClientWebsocketServerTransport(
        host="127.0.0.1",
        port=port,
        params=SingleClientWebsocketServerParams(
            serializer=ProtobufFrameSerializer(), audio_in_enabled=True, audio_out_enabled=True
        ),
    )

    @transport.event_handler("on_websocket_ready")
    async def ready(_: object) -> None:
        print("listening", flush=True)

    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    worker = PipelineWorker(pipeline, params=PipelineParams(audio_in_sample_rate=16000))
    await WorkerRunner(handle_sigint=False).run(worker)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

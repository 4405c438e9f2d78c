"""Live audio: what runs in the media workers, processes beside the service with an asyncio loop of their own.

A worker carries audio between a switch and a task (transcription, speech, an agent, an analysis). It knows
nothing of legs, rooms or commands of the switch: the service tells it what to open, has the switch send its
audio there, and hears what happened (`messages`). Nothing here imports gevent.
"""

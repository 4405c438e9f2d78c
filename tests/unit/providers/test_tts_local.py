"""Speech of this machine: flite and espeak-ng, when they are there."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.support.inasyncio import in_asyncio
from vsi_esl.providers.base import PERMANENT_INPUT, RETRYABLE, SERVICE_UNAVAILABLE
from vsi_esl.providers.tts import local

from .ttssupport import failure, provider, spoken

SENTENCES = "Hello, this is a test. It has two sentences, and ends here."


def seconds(pcm: bytes) -> float:
    return len(pcm) / 32000


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


def skip_without(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")


def programs(folder: Path, **scripts: str) -> None:
    """A PATH with these programs only."""
    for name, script in scripts.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    os.environ["PATH"] = str(folder)


@pytest.mark.parametrize("voice", ["default", "slt", "rms"])
@in_asyncio
async def test_flite_speaks_all_sentences(voice):
    skip_without("flite")
    pcm = await spoken("local", text=SENTENCES, voice=voice)
    assert 3 < seconds(pcm) < 7 and loudness(pcm) > 300
    assert seconds(await spoken("local", text="Hello.", voice=voice)) < seconds(pcm) / 2


@pytest.mark.parametrize("asked", [{"voice": "de"}, {"voice": "default", "language": "de"}])
@in_asyncio
async def test_espeak_speaks_other_languages(asked):
    skip_without("espeak-ng")
    pcm = await spoken("local", text="Guten Tag, dies ist ein Versuch.", **asked)
    assert 1 < seconds(pcm) < 5 and loudness(pcm) > 300


@pytest.mark.parametrize("text", ["-v", "--help", "$(touch x); `id`", "a" * 9000 + ".", "Grüße 你好"])
@in_asyncio
async def test_a_text_is_a_text(text, tmp_path):
    skip_without("espeak-ng")
    os.chdir(tmp_path)
    assert await spoken("local", text=text, voice="en-us")
    assert not list(tmp_path.iterdir())


@in_asyncio
async def test_a_text_is_no_argument_and_keys_stay_here(tmp_path):
    old, os.environ["SECRET_KEY"] = os.environ["PATH"], "x"
    # it writes what it was given into its output, which is no file of sound
    programs(tmp_path, flite='/usr/bin/env > "$4"; echo "$@" >> "$4"; /bin/cat >> "$4"')
    try:
        said = await spoken("local", text="Hello; id", voice="slt")
    finally:
        os.environ["PATH"] = old
    lines = said.decode().rstrip("\0").splitlines()
    assert lines[-1] == "Hello; id"
    assert lines[-2].startswith("-voice slt /dev/stdin /dev/fd/")
    assert not [line for line in lines if "SECRET" in line]


@in_asyncio
async def test_neither_is_installed(tmp_path):
    old = os.environ["PATH"]
    programs(tmp_path)
    try:
        error = await failure("local", voice="default")
    finally:
        os.environ["PATH"] = old
    assert error.message == "local: neither flite nor espeak-ng is installed (apt-get install flite)"
    assert error.category == PERMANENT_INPUT


@pytest.mark.parametrize("voice", ["/etc/passwd", "http://x/y.flitevox", "-w/tmp/x", "../x", "a b", "x" * 99])
@in_asyncio
async def test_a_voice_is_a_name(voice):
    skip_without("espeak-ng")
    error = await failure("local", voice=voice)
    assert error.message == "local: no such voice; flite has slt, rms, awb, kal, kal16"
    assert error.category == PERMANENT_INPUT


@in_asyncio
async def test_a_voice_that_is_not_there():
    skip_without("espeak-ng")
    error = await failure("local", voice="nosuchvoice")
    assert error.message == "local: espeak-ng failed: has it that voice?"


@in_asyncio
async def test_a_program_that_ended_before_it_was_told(tmp_path):
    old, start = os.environ["PATH"], local._start

    async def ended(*arguments, **settings):
        process = await start(*arguments, **settings)
        await process.wait()
        while not process.stdin.is_closing():
            await asyncio.sleep(0)
        return process

    programs(tmp_path, espeak_ng="exit 1")
    local._start = ended
    try:
        error = await failure("local", voice="de")
    finally:
        os.environ["PATH"], local._start = old, start
    assert error.message == "local: espeak-ng failed: has it that voice?"


@in_asyncio
async def test_a_program_that_fails_or_does_not_end(tmp_path):
    old = os.environ["PATH"]
    programs(tmp_path, flite="exit 3", espeak_ng="exec /bin/sleep 60")
    before, local.LONGEST_S = local.LONGEST_S, 0.2
    try:
        failed = await failure("local", voice="slt")
        stuck = await failure("local", voice="de")
    finally:
        os.environ["PATH"], local.LONGEST_S = old, before
    assert (failed.message, failed.category) == ("local: flite failed", SERVICE_UNAVAILABLE)
    assert (stuck.message, stuck.category) == ("local: espeak-ng took longer than 0.2 s", RETRYABLE)


@in_asyncio
async def test_a_fault_while_it_is_told_the_text(tmp_path):
    """The program waits for more of it, and is not waited for."""
    old, start = os.environ["PATH"], local._start

    async def started(*arguments, **settings):
        process = await start(*arguments, **settings)

        def write(_: bytes) -> None:
            raise ValueError("a fault that nobody foresaw")

        process.stdin.write = write
        return process

    programs(tmp_path, espeak_ng="exec /bin/cat")
    local._start = started
    try:
        async with provider("local", voice="de", text="x") as one, asyncio.timeout(15):
            with pytest.raises(ValueError, match="nobody foresaw"):
                async for _ in one.speak():
                    pass
    finally:
        os.environ["PATH"], local._start = old, start


@in_asyncio
async def test_it_ends_with_whoever_listens(tmp_path):
    old = os.environ["PATH"]
    number = tmp_path / "number"
    programs(tmp_path, espeak_ng=f"echo $$ > {number}; exec /bin/cat /dev/zero")
    try:
        async with provider("local", voice="de", text="x") as one:
            pieces = one.speak()
            await anext(pieces)
            await pieces.aclose()
    finally:
        os.environ["PATH"] = old
    async with asyncio.timeout(20):
        while Path(f"/proc/{number.read_text().strip()}").exists():
            await asyncio.sleep(0.01)

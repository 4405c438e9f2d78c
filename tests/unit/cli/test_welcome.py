"""What `serve --sandbox` says that one could try."""

from __future__ import annotations

import pytest

from vsi_esl.cli import serve


@pytest.mark.parametrize(
    ("programs", "modules", "named"),
    [
        ({"flite"}, {"pocketsphinx"}, []),
        ({"espeak-ng"}, {"pocketsphinx"}, []),
        ({}, {"pocketsphinx"}, ["apt-get install flite"]),
        ({"flite"}, {}, ["pip install pocketsphinx"]),
        ({}, {}, ["apt-get install flite", "pip install pocketsphinx"]),
    ],
)
def test_what_speech_needs_and_is_not_there_is_said_in_a_line(monkeypatch, programs, modules, named):
    monkeypatch.setattr(serve.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(serve, "find_spec", lambda name: name if name in modules else None)
    said = serve._lacking_for_speech()
    assert all(name in said for name in named)
    assert said.count("\n") == bool(named)

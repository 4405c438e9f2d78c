"""The manual says what is so: links lead somewhere, commands parse, what is named exists, samples work."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.support.program import run
from tests.support.service import Scrape
from vsi_esl.access.tokens import line_of
from vsi_esl.cli import cli
from vsi_esl.cli.call import call
from vsi_esl.config import load
from vsi_esl.config.sections import all_settings
from vsi_esl.protocol.names import known_commands

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "freeswitch_conf" / "README.md")
    if path.name != "CHANGELOG.md"  # it names what there was
)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)
WORDS_FOR_VALUES = {"LEG": "leg-1", "ROOM": "room-1", "AGENT": "agent-1", "ID": "id-1", "PID": "1"}
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def whole(path: Path) -> str:
    """A page with the files that it includes."""
    return SNIPPET.sub(lambda found: (ROOT / found[1]).read_text(), path.read_text())


def blocks(path: Path, *languages: str) -> list[str]:
    """Fenced code of a page, without what it includes."""
    found = FENCE.findall(path.read_text())
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, kind, text in found if kind in languages]


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


# -- the site


def tool() -> Path | None:
    """mkdocs of `make docs`."""
    found = ROOT / ".venv-docs" / "bin" / "mkdocs"
    return found if found.exists() else None


class Page(HTMLParser):
    """Ids of a page, and what it has fetched or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("img", "script", "iframe", "source", "video", "audio") and "src" in given:
            self.fetched.append(given["src"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mkdocs = tool()
    if mkdocs is None:
        pytest.skip("no .venv-docs: `make docs` makes it")
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--site-dir", directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_the_site_is_built_and_every_link_in_it_leads_somewhere(site):
    read: dict[Path, Page] = {}
    for path in site.rglob("*.html"):
        read[path] = Page()
        read[path].feed(path.read_text())
    assert len(read) > 15
    for path, one in read.items():
        if path.name == "404.html":
            continue  # its links are from the root of wherever it stands
        for link in one.links:
            if re.match(r"(?:https?|mailto):", link):
                continue
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            assert file.exists(), f"{path.name}: {link}"
            if anchor and file in read:
                assert anchor in read[file].ids, f"{path.name}: {link}"


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        one = Page()
        one.feed(path.read_text())
        assert not [url for url in one.fetched if re.match(r"(?:https?:)?//", url)], path.name
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text()), path.name


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert there - named == set(), "name it under nav in mkdocs.yml"


# -- links of the pages themselves, as they are read in the repository


def anchors(path: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", whole(path)), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\([^)]*\)", "", heading).lower()).replace(" ", "-"))
    return found


@page
def test_links_and_anchors(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"(?:https?|mailto):", link):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        if anchor:
            assert anchor in anchors(file), link


@page
def test_files_that_are_named_exist(path):
    names = re.findall(
        r"`((?:vsi_esl|freeswitch_conf|dialplan|tests|docs|deploy|examples|ansible)/[\w./-]+)`",
        path.read_text(),
    )
    for name in names:
        assert (ROOT / name).exists(), name


# -- command lines


def command_lines(path: Path) -> Iterator[str]:
    for block in blocks(path, "", "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.sub(r"\s#\s.*", "", line)
            yield from re.findall(r"\$\((vsi-esl [^()]*)\)", bare)
            bare = re.sub(r"\$\([^()]*\)", "value", bare).removeprefix("$ ")
            if found := re.search(r"(?:^|^\S+=|[|&] )\s*(?:\S*/)?(vsi-esl(?: .*|$))", bare):
                yield found[1]
    for code in re.findall(r"`(vsi-esl [^`]+)`", prose(path)):
        if " COMMAND" in code.removeprefix("vsi-esl call"):
            continue
        if not re.search(r"[|.]{2,}|[|\[\]<]|\.\.\.", code.replace("\\|", "|")):
            yield code


LINES = sorted(
    {(str(path.relative_to(ROOT)), line.strip()) for path in PAGES for line in command_lines(path)}
)


def test_there_are_command_lines():
    assert len(LINES) > 40


@pytest.mark.parametrize(("where", "line"), LINES)
def test_a_command_line_is_understood(where, line):
    words = [WORDS_FOR_VALUES.get(word, word) for word in shlex.split(line)[1:]]
    for stop in ("&&", "|", ">", "2>&1", "&", ";"):
        words = words[: words.index(stop)] if stop in words else words
    words = [re.sub(r"\$\w+|=(?:LEG|ROOM|AGENT)$", "=value", word) for word in words]
    understood(cli, words, line)


def understood(command: click.Command, words: list[str], line: str) -> None:
    """Click's parser takes it, as far as it can without files and without running anything."""
    if words == ["--version"] or words[-1:] == ["--help"]:
        words = words[:-1]
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"{line}: no command {words[0]}"
        command, words = found, words[1:]
    if words and not isinstance(command, click.Group):
        command.make_context("vsi-esl", list(words)).close()
    if command is call and words:
        names = [word for word in words if "=" not in word and not word.startswith("-")]
        assert not names or names[0] in (*known_commands(), "COMMAND"), f"{line}: no such VSI command"


# -- what is named


SECTIONS = {key.partition(".")[0] for key, _ in all_settings() if "." in key}


@page
def test_settings_that_are_named_exist(path):
    keys = {key for key, _ in all_settings()}
    keys |= {f"{key}_file" for key, item in all_settings() if item.metadata["secret"]}
    named = re.findall(r"`([a-z0-9]+\.[a-z0-9_]+)`", prose(path))
    events = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", (ROOT / "docs" / "events.md").read_text()))
    for name in named:
        if name.partition(".")[0] in SECTIONS and not name.endswith(
            (".py", ".md", ".xml", ".conf", ".cfg", ".sqlite3")
        ):
            assert name in keys or name in events or (ROOT / "vsi_esl" / name.partition(".")[0]).is_dir(), (
                name
            )


@page
def test_variables_that_are_named_exist(path):
    known = {item.metadata["env"] for _, item in all_settings()}
    known |= {f"{item.metadata['env']}_FILE" for _, item in all_settings() if item.metadata["secret"]}
    known |= {"VSI_ESL_CONFIG", "VSI_ESL_URL", "VSI_ESL_TOKEN", "VSI_ESL_PROGRAM_HINT"}
    for name in re.findall(r"(?<![\w_])VSI_ESL_[A-Z0-9_]+", prose(path)):
        assert name in known, name


@pytest.fixture(scope="module")
def metrics() -> str:
    """The source: series that have no value yet are not in /metrics."""
    return "\n".join(path.read_text() for path in (ROOT / "vsi_esl").rglob("*.py"))


@pytest.fixture(scope="module")
def variables() -> set[str]:
    """And tags of the roles for Ansible, whose names begin as those of series do."""
    texts = [path.read_text() for path in (ROOT / "ansible").rglob("*.yml")]
    return {name for text in texts for name in re.findall(r"\bvsi_esl_\w+", text)}


@page
def test_metrics_that_are_named_exist(path, metrics, variables):
    for name in re.findall(r"\b((?:vsi_esl|voiceblender)_[a-z0-9_]+)", whole(path)):
        known = {name, re.sub(r"_(?:total|bucket|count|sum)$", "", name)}
        if (ROOT / name).exists() or name in ("vsi_esl", "vsi_esl_") or name.endswith("_"):
            continue
        assert name in variables or any(f'"{one}"' in metrics or f"{one}{{" in metrics for one in known), name


# -- samples


@page
def test_settings_in_samples_are_accepted(path, tmp_path):
    for number, text in enumerate(blocks(path, "yaml")):
        if not SECTIONS & set(yaml.safe_load(text) or {}):
            continue  # of another program
        (tmp_path / "secret").write_text(line_of("name", "read", "a-secret"))
        file = tmp_path / f"{number}.yaml"
        file.write_text(re.sub(r"(?<=_file: )\S+", str(tmp_path / "secret"), text))
        load(str(file), {"HOME": str(tmp_path)})


@page
def test_samples_are_what_they_say(path):
    for text in blocks(path, "json"):
        decoder, rest = json.JSONDecoder(), text.strip()
        while rest:
            _, end = decoder.raw_decode(rest)
            rest = rest[end:].strip()
    for text in blocks(path, "python"):
        ast.parse(SNIPPET.sub("", text))
    for name in SNIPPET.findall(path.read_text()):
        assert (ROOT / name).is_file()
        if name.endswith(".py"):
            compile((ROOT / name).read_text(), name, "exec")


SECRET = "of the manual"


@pytest.fixture
def receiver() -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "webhook_receiver.py", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={"WEBHOOK_SECRET": SECRET},
    )
    assert process.stdout is not None
    process.url = process.stdout.readline().split()[-1]  # type: ignore[attr-defined]
    yield process
    process.kill()
    process.communicate(timeout=60)


def test_the_receiver_of_webhooks_takes_what_the_service_sends(receiver, start, switch):
    service = start(webhooks={"url": receiver.url, "secret": SECRET, "backoff_min": 0.05})
    peer = switch.call()
    assert receiver.stdout.readline().split()[0] == "leg.ringing"
    peer.hang_up()
    assert receiver.stdout.readline().split()[0] == "leg.disconnected"
    assert Scrape(service).value("vsi_esl_webhook_failed_attempts_total") == 0


@pytest.mark.parametrize(("secret", "status"), [(SECRET, 204), ("another", 403), ("", 403)])
def test_the_receiver_of_webhooks_believes_what_is_signed(receiver, secret, status):
    body = json.dumps({"type": "leg.ringing", "leg_id": "1"}).encode()
    headers = {"X-Event-Id": "1", "Content-Type": "application/json"}
    if secret:
        import hashlib
        import hmac

        headers["X-Signature-256"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request(receiver.url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = answer.status
    except urllib.error.HTTPError as error:
        found = error.code
    assert found == status


# -- versions


def test_the_newest_version_of_the_changelog_is_this_one():
    """Until there is one, all is unreleased."""
    from vsi_esl import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.count("\n## Unreleased\n") == 1
    dated = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    assert len(dated) == text.count("\n## ") - 1, "a version is `## [0.1.0] - 2026-12-01`"
    assert not dated or dated[0][0] == __version__
    assert run("--version").stdout.startswith(f"vsi-esl, version {__version__}")

"""Beside a FreeSWITCH that runs already, with its own files in the stock layout: nothing is restarted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.freeswitch.conftest import ServiceProcess
from tests.support.drivers import eventually
from tests.support.freeswitch import PASSWORD, REPOSITORY, PrivateSwitch
from tests.support.ports import free_port
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient

GUIDE = REPOSITORY / "freeswitch_conf" / "README.md"
SECTIONS = {
    "configuration": "autoload_configs/*.xml",
    "dialplan": "dialplan/*.xml",
}


class StockSwitch(PrivateSwitch):
    """One that knows nothing of us: the files and includes of the stock configuration, cut to what counts."""

    def _write_configuration(self, park_limit: int) -> None:
        self.conf = self._directory / "conf"
        for name in ("conf", "log", "db", "run", "recordings", "temp", "cache", "storage"):
            (self._directory / name).mkdir(parents=True)
        modules = "commands dptools event_socket dialplan_xml sofia conference loopback sndfile tone_stream"
        modules += " logfile"
        stock = {
            "freeswitch.xml": '<document type="freeswitch/xml">\n'
            '<X-PRE-PROCESS cmd="include" data="vars.xml"/>\n'
            + "".join(
                f'<section name="{name}">\n<X-PRE-PROCESS cmd="include" data="{files}"/>\n</section>\n'
                for name, files in SECTIONS.items()
            )
            + "</document>\n",
            "vars.xml": "<include>\n"
            '  <X-PRE-PROCESS cmd="set" data="local_ip_v4=127.0.0.1"/>\n'
            '  <X-PRE-PROCESS cmd="set" data="domain=$${local_ip_v4}"/>\n'
            "</include>\n",
            "autoload_configs/modules.conf.xml": _configuration(
                "modules", "modules", *(f'<load module="mod_{name}"/>' for name in modules.split())
            ),
            "autoload_configs/event_socket.conf.xml": _configuration(
                "event_socket",
                "settings",
                '<param name="listen-ip" value="127.0.0.1"/>',
                f'<param name="listen-port" value="{self.esl_port}"/>',
                f'<param name="password" value="{PASSWORD}"/>',
            ),
            "autoload_configs/acl.conf.xml": _configuration(
                "acl", "network-lists", '<list name="lan" default="allow"/>'
            ),
            "autoload_configs/conference.conf.xml": _configuration(
                "conference",
                "profiles",
                '<profile name="default"><param name="rate" value="8000"/></profile>',
            ),
            "autoload_configs/switch.conf.xml": _configuration(
                "switch",
                "settings",
                '<param name="sessions-per-second" value="30"/>',
                f'<param name="rtp-start-port" value="{self._rtp_start}"/>',
                f'<param name="rtp-end-port" value="{self._rtp_start + 1000}"/>',
            ),
            "autoload_configs/sofia.conf.xml": _configuration(
                "sofia", "profiles", '<X-PRE-PROCESS cmd="include" data="../sip_profiles/*.xml"/>'
            ),
            "autoload_configs/logfile.conf.xml": _configuration(
                "logfile",
                "profiles",
                '<profile name="default"><settings>',
                f'<param name="logfile" value="{self.log_path}"/></settings>',
                '<mappings><map name="all" value="warning,err,crit,alert"/></mappings></profile>',
            ),
            "sip_profiles/external.xml": '<profile name="external"><settings>\n'
            + "".join(
                f'<param name="{name}" value="{value}"/>\n'
                for name, value in {
                    "sip-ip": "$${local_ip_v4}",
                    "rtp-ip": "$${local_ip_v4}",
                    "sip-port": self.sip_port,
                    "context": "public",
                    "dialplan": "XML",
                    "auth-calls": "false",
                    "inbound-late-negotiation": "true",
                    # as stock: without it a bridge whose media stopped sees a BYE 5 s late
                    "rtp-timer-name": "soft",
                }.items()
            )
            + "</settings></profile>\n",
            "dialplan/public.xml": '<include>\n<context name="public">\n'
            '<X-PRE-PROCESS cmd="include" data="public/*.xml"/>\n'
            "</context>\n</include>\n",
        }
        for name, text in stock.items():
            path = self.conf / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (self.conf / "dialplan" / "public").mkdir()


def _configuration(name: str, inner: str, *lines: str) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f'<configuration name="{name}.conf">\n  <{inner}>\n{body}\n  </{inner}>\n</configuration>\n'


def vsi_esl(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsi_esl", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environ},
        check=False,
    )


def follow(text: str, conf: Path) -> None:
    """Do by hand what `freeswitch-conf` says is to be done by hand."""
    for name, end, line in re.findall(r"^  (\S+): before its last (\S+)\n +(<.*>)$", text, re.MULTILINE):
        before, found, after = (conf / name).read_text().rpartition(end)
        assert found
        (conf / name).write_text(f"{before}  {line}\n{found}{after}")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockSwitch]:
    switch = StockSwitch(tmp_path_factory.mktemp("stock"))
    try:
        switch.start()
        yield _with_ours(switch)
    finally:
        switch.stop()


def _with_ours(switch: StockSwitch) -> StockSwitch:
    started = switch.api("global_getvar core_uuid")
    said = vsi_esl("freeswitch-conf", str(switch.conf))
    assert (said.returncode, said.stderr) == (0, "")
    follow(said.stdout, switch.conf)
    variables = switch.conf / "vars_vsi.xml"
    variables.write_text(re.sub("vsi_sip_port=[0-9]+", f"vsi_sip_port={free_port()}", variables.read_text()))
    snippet = re.search(r"```xml\n(<include>.*?)```", GUIDE.read_text(), re.DOTALL)
    assert snippet is not None
    number = snippet[1]
    straight = re.search(r'<action application="transfer".*?/>', GUIDE.read_text())
    assert straight is not None
    other = re.sub(r"<action.*<action[^\n]*", straight[0], number.replace("0199", "0200"), flags=re.DOTALL)
    (switch.conf / "dialplan" / "public" / "00_vsi.xml").write_text(number)
    (switch.conf / "dialplan" / "public" / "01_vsi.xml").write_text(other.replace("to_vsi", "straight"))
    for quoted, bare in re.findall(r"fs_cli -x (?:'(.*?)'|(\S+))", said.stdout):
        assert not switch.api(quoted or bare).startswith("-ERR"), quoted or bare
    eventually(lambda: "vsi\tprofile" in switch.api("sofia status"), "the profile runs")
    assert switch.api("global_getvar core_uuid") == started
    return switch


@pytest.fixture
def caller(beside: StockSwitch) -> Iterator[UserAgent]:
    agent = UserAgent(("127.0.0.1", beside.sip_port))
    yield agent
    agent.stop()
    beside.api("hupall")


@pytest.fixture(scope="module")
def service(beside: StockSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    process = ServiceProcess(beside, tmp_path_factory.mktemp("service"))
    process.start()
    yield process
    process.end()


@pytest.fixture
def vsi(service: ServiceProcess) -> Iterator[VsiClient]:
    client = VsiClient(service.address)
    yield client
    client.close()


def test_doctor_finds_nothing_to_do_at_the_switch(beside):
    port = {"VSI_ESL_SWITCH_PORT": str(beside.esl_port), "VSI_ESL_SWITCH_PASSWORD": PASSWORD}
    text = vsi_esl("doctor", "--json", **port).stdout
    checks = {check["name"]: check for check in json.loads(text)}
    for name in (
        "needed modules",
        "SIP profile",
        "conference profiles",
        "sip_watch_headers",
        "intercept_unanswered_only",
        "sessions per second",
    ):
        assert checks[name]["status"] == "ok", checks[name]


def test_the_files_of_the_switch_have_nothing_left_to_add(beside):
    said = vsi_esl("freeswitch-conf", str(beside.conf))
    assert "Nothing is left" in said.stdout or "load mod_" in said.stdout
    assert "before its last" not in said.stdout
    assert re.search(r"^kept +vars_vsi.xml", said.stdout, re.MULTILINE)  # the port set there is still set
    diff = vsi_esl("freeswitch-conf", str(beside.conf), "--diff")
    assert diff.returncode == 1
    changed = [line for line in diff.stdout.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert len(changed) == 2
    assert all("vsi_sip_port" in line for line in changed)


@pytest.mark.parametrize("number", ["+15550199", "+15550200"], ids=["bridged", "transferred"])
def test_the_dialplan_of_the_switch_sends_a_number_here(vsi, caller, number):
    call = caller.call(to=number, headers={"X-App-ID": "shop"}, codecs=["PCMU"])
    ringing = vsi.event("leg.ringing")
    assert (ringing["from"], ringing["to"], ringing["app_id"]) == ("+15550100", number, "shop")
    leg = ringing["leg_id"]
    vsi.ok("answer_leg", id=leg)
    vsi.event("leg.connected", leg_id=leg)
    call.wait("200")
    vsi.ok("add_leg_to_room", room_id="r", leg_id=leg)
    vsi.event("leg.joined_room", leg_id=leg)
    vsi.ok("delete_leg", id=leg)
    vsi.event("leg.disconnected", leg_id=leg)
    call.wait(lambda one: one.ended)


def test_other_numbers_and_rooms_of_the_switch_are_not_ours(vsi, caller, beside):
    call = caller.call(to="+15550111", codecs=["PCMU"])
    call.wait(lambda one: one.ended)
    assert not vsi.seen("leg.ringing")
    assert 'name="default"' in beside.api("xml_locate configuration configuration name conference.conf")

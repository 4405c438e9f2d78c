"""A private FreeSWITCH for tests: found on this machine, started on free loopback ports, with our files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import gevent
from greenswitch.esl import NotConnectedError

from vsi_esl.switch.esl.client import EslClient

from .ending import ended_on_error, ending_with_us
from .ports import RTP_BLOCKS, claim_rtp_block, free_port, ipv6_loopback

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORD = "vsi-test"
START_TIMEOUT_S = 30
POLL_S = 0.05
REALTIME_PRIORITY = 20
PARK_LIMIT_S = 20
"""As in our files."""


def find_binary() -> Path | None:
    """The FreeSWITCH of this machine, or None."""
    homes = [os.environ.get("FREESWITCH_HOME"), "/usr/local/freeswitch", "/opt/freeswitch"]
    for home in homes:
        if home and (Path(home) / "bin" / "freeswitch").is_file():
            return Path(home) / "bin" / "freeswitch"
    found = shutil.which("freeswitch")
    return Path(found) if found else None


TETHER_PORT = 5072
"""Of a switch that has an address of its own."""


class PrivateSwitch:
    """One process of it. `park_limit` is the dialplan's limit for calls nobody takes, in seconds; `owner` is
    the user it runs as: `user`, `group`, `extra_groups` and `umask` of a subprocess. With `realtime` it is
    scheduled as its Debian package has it, before all that is not, if this process may do that. `tls` is a
    directory with its certificates; without it speaks no TLS. With `tether` it has the profile for them, at
    an address other than 127.0.0.1 when that is given.

    On another machine it has an address of its own (`host`), where those of `peers` may connect to its event
    socket and call it; `there` is the command that has programs run there."""

    def __init__(
        self,
        directory: Path,
        park_limit: int = PARK_LIMIT_S,
        owner: dict[str, Any] | None = None,
        realtime: bool = False,
        tls: Path | None = None,
        tether: bool | str = False,
        host: str = "127.0.0.1",
        peers: Sequence[str] = (),
        there: Sequence[str] = (),
    ) -> None:
        binary = find_binary()
        assert binary is not None
        self._binary = binary
        self._directory = directory
        self.host, self._peers, self._there = host, peers, list(there)
        self.esl_port = free_port()
        self.sip_port = free_port()
        self.tls_port = free_port()
        self.whatsapp_port = free_port()
        self.tether_port = TETHER_PORT if isinstance(tether, str) else free_port()
        self._tls = tls
        self._tether = tether
        self.verto_port = free_port()
        self._rtp_claim, self._rtp_start = claim_rtp_block()
        self.password = PASSWORD
        self.log_path = directory / "log" / "freeswitch.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._write_configuration(park_limit)
        self._owner = owner or {}
        self._realtime = realtime
        if owner:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, owner["user"], owner["group"])

    def start(self) -> None:
        """Start and wait until the SIP profile runs."""
        arguments = [*ending_with_us(), *self._there, str(self._binary), "-nonat", "-nf", "-nc", "-np"]
        for option in ("conf", "log", "db", "run", "recordings", "temp", "cache", "storage"):
            arguments += [f"-{option}", str(self._directory / option)]
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._owner,
        )
        if self._realtime:
            # its threads, which it has not made yet, take after this one
            with suppress(PermissionError):
                os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
        with ended_on_error(self._process):
            self._wait(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if "RUNNING" in self.api("sofia status"):
                    return
            except (NotConnectedError, OSError):
                pass
            assert process.poll() is None, f"FreeSWITCH ended, see {self.log_path}"
            assert time.monotonic() < deadline, f"FreeSWITCH is not up, see {self.log_path}"
            gevent.sleep(POLL_S)

    def gateway(self, name: str, **parameters: object) -> None:
        """Have a gateway of the profile `vsi`, as an operator does it while the switch runs."""
        told = "".join(
            f'<param name="{key.replace("_", "-")}" value={quoteattr(str(value))}/>'
            for key, value in parameters.items()
        )
        file = self._directory / "vsi" / f"gateway_{name}.xml"
        file.write_text(f'<include>\n<gateway name="{name}">\n{told}\n</gateway>\n</include>\n')
        self.api("reloadxml")
        self.api("sofia profile vsi rescan")
        deadline = time.monotonic() + START_TIMEOUT_S
        while "<name>" not in self.api(f"sofia xmlstatus gateway {name}"):
            assert time.monotonic() < deadline, f"no gateway {name}"
            gevent.sleep(POLL_S)

    def make_first_conference(self) -> None:
        """Have it behind us: the switch holds its events back for half a second at the first one it makes."""
        seen: list[str] = []
        client = self.client(on_event=lambda event: seen.append(event.get("Action", "")))
        client.send("event json CUSTOM conference::maintenance")
        client.send("api originate {origination_uuid=first}null/first 'conference:first@vsi8000' inline")
        with gevent.Timeout(START_TIMEOUT_S):
            while "add-member" not in seen:
                gevent.sleep(POLL_S)
            client.send("api uuid_kill first")
            while "conference-destroy" not in seen:
                gevent.sleep(POLL_S)
        client.stop()

    def stop(self) -> None:
        """End exactly this process."""
        self._end(signal.SIGTERM)
        self._rtp_claim.close()

    def freeze(self) -> None:
        """Stop the process (SIGSTOP) until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def client(self, **options: object) -> EslClient:
        """A connected client of its event socket."""
        client = EslClient(self.host, self.esl_port, self.password, **options)  # type: ignore[arg-type]
        client.connect()
        return client

    def api(self, command: str) -> str:
        """Run one api command on a connection of its own."""
        client = self.client()
        try:
            return client.send(f"api {command}")
        finally:
            client.stop()

    @property
    def settings_file(self) -> Path:
        """Of all its SIP profiles."""
        return self._directory / "vsi" / "sip_settings.xml"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def version(self) -> str:
        return self.api("version")

    def _let_in(self, ours: Path) -> None:
        """Name the peers in the access lists, and listen for them, as an operator does."""
        lists, profile = ours / "acl_lists.xml", ours / "verto_profiles.xml"
        nodes = "".join(f'<node type="allow" cidr="{peer}/32"/>' for peer in self._peers)
        text = lists.read_text()
        for name in ("vsi_control", "vsi_trunks"):
            head = f'<list name="{name}" default="deny">'
            assert head in text
            text = text.replace(head, head + nodes)
        lists.write_text(text)
        if self._peers:
            text = profile.read_text()
            shown = '<!-- <param name="bind-local" value="10.0.0.11:$${vsi_verto_port}"/> -->'
            assert shown in text
            param = f'<param name="bind-local" value="{self.host}:$${{vsi_verto_port}}"/>'
            profile.write_text(text.replace(shown, param))

    def _write_configuration(self, park_limit: int) -> None:
        for name in ("conf", "log", "db", "run", "recordings", "temp", "cache", "storage"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        ours = REPOSITORY / "freeswitch_conf"
        modules = (ours / "autoload_configs" / "modules.vsi.xml").read_text()
        modules = modules.replace("<modules>", '<modules>\n<load module="mod_logfile"/>', 1)
        (self._directory / "modules.xml").write_text(modules)
        profiles = self._directory / "sip_profiles"
        shutil.copytree(ours / "sip_profiles", profiles)
        shutil.copytree(ours / "vsi", self._directory / "vsi")
        self._let_in(self._directory / "vsi")
        if ipv6_loopback():
            shutil.copy(ours / "vsi" / "sip_profile_ipv6.xml", profiles / "vsi6.xml")
        if self._tls is not None:
            shutil.copy(ours / "vsi" / "sip_profile_whatsapp.xml", profiles / "vsi_wa.xml")
        if isinstance(self._tether, str):
            lists = self._directory / "vsi" / "acl_lists.xml"
            peers = '<list name="vsi_tethers" default="allow">'
            lists.write_text(lists.read_text().replace('<list name="vsi_tethers" default="deny">', peers))
        if self._tether:
            shutil.copy(ours / "vsi" / "sip_profile_tether.xml", profiles / "vsi_tether.xml")
        variables = {
            "domain": self.host,
            "local_ip_v4": self.host,
            "vsi_esl_ip": self.host,
            "vsi_esl_port": self.esl_port,
            "vsi_esl_password": PASSWORD,
            "vsi_sip_ip": self.host,
            "vsi_rtp_ip": self.host,
            "vsi_sip_port": self.sip_port,
            "vsi_sip_ipv6": "::1",
            "vsi_tls": "false" if self._tls is None else "true",
            "vsi_tls_port": self.tls_port,
            "vsi_tls_dir": self._tls or "",
            "vsi_webrtc_ip": self.host,
            "vsi_verto_port": self.verto_port,
            "vsi_wa_ip": "127.0.0.1",
            "vsi_wa_ext_ip": "127.0.0.1",
            "vsi_wa_port": self.whatsapp_port,
            "vsi_tether_ip": self._tether if isinstance(self._tether, str) else "127.0.0.1",
            "vsi_tether_port": self.tether_port,
            "vsi_rtp_start_port": self._rtp_start,
            "vsi_rtp_end_port": self._rtp_start + RTP_BLOCKS.step - 2,
            "vsi_park_limit": park_limit,
        }
        settings = "\n".join(
            f'<X-PRE-PROCESS cmd="set" data="{name}={value}"/>' for name, value in variables.items()
        )
        includes = "\n".join(
            f'<X-PRE-PROCESS cmd="include" data="{ours}/autoload_configs/{name}.xml"/>'
            for name in ("event_socket.conf", "conference.conf", "switch.vsi")
        )
        for name in ("acl.conf", "verto.conf"):
            text = (ours / "autoload_configs" / f"{name}.xml").read_text()
            file = self._directory / f"{name}.xml"
            file.write_text(text.replace("../vsi/", f"{self._directory}/vsi/"))
            includes += f'\n<X-PRE-PROCESS cmd="include" data="{file}"/>'
        (self._directory / "conf" / "freeswitch.xml").write_text(
            f"""<?xml version="1.0"?>
<document type="freeswitch/xml">
<X-PRE-PROCESS cmd="include" data="{ours}/vars_vsi.xml"/>
{settings}
<section name="configuration">
<X-PRE-PROCESS cmd="include" data="{self._directory}/modules.xml"/>
{includes}
<configuration name="sofia.conf"><global_settings><param name="log-level" value="0"/></global_settings>
<profiles>
<X-PRE-PROCESS cmd="include" data="{profiles}/*.xml"/>
</profiles></configuration>
<configuration name="opus.conf"><settings/></configuration>
<configuration name="logfile.conf"><settings/><profiles><profile name="default">
<settings><param name="logfile" value="{self.log_path}"/></settings>
<mappings><map name="all" value="warning,err,crit,alert"/></mappings></profile></profiles></configuration>
</section>
<section name="dialplan">
<X-PRE-PROCESS cmd="include" data="{REPOSITORY}/dialplan/vsi.xml"/>
</section>
<section name="directory">
<X-PRE-PROCESS cmd="include" data="{ours}/directory/vsi.xml"/>
</section>
</document>
"""
        )

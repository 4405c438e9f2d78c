"""`vsi-esl doctor`: is everything there that the service needs?"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import click
from greenswitch.esl import NotConnectedError

from .. import features
from ..config import Config
from ..config.settings import ListedSwitch
from ..model.codecs import CODEC_MODULES
from ..net.addresses import host_port
from ..ops import findings
from ..ops.findings import FAIL, OK, WARN, Check, writable
from ..switch import facts
from ..switch.esl.client import AuthenticationFailed, CommandTimeout, EslClient
from ..switch.lines import builder
from .checks import echo_checks
from .doctor_http import http_checks
from .doctor_sip import sip_checks
from .doctor_tethers import tether_checks
from .options import beside_the_service, config_option, json_option, load_settings
from .progress import progress

NEEDED_MODULES = "mod_commands mod_conference mod_dptools mod_event_socket mod_loopback mod_sofia".split()
GOOD_SESSIONS_PER_SECOND = 100
DEFAULT_PASSWORD = "ClueCon"  # noqa: S105  (what every FreeSWITCH comes with)


@click.command()
@config_option
@json_option
@click.option("--live", is_flag=True, help="Also send sound through the switch and a media worker.")
@click.option("--providers", is_flag=True, help="Also connect to the providers of speech and agents.")
def doctor(config_path: str | None, as_json: bool, live: bool, providers: bool) -> None:
    """Check the switch and this machine. Exit code 1 when the service cannot work here."""
    config = load_settings(config_path, beside_the_service()).config
    found = []
    with progress("checking", shown=not as_json) as told:
        for check in checks(config, live, providers):
            found.append(check)
            told(len(found), f"({len(found)} done, the last: {check.name})")
    echo_checks(found, "check", as_json)


def checks(config: Config, live: bool = False, providers: bool = False) -> Iterator[Check]:
    """Every check, one after the other; `live` and `providers` add those that are made on request."""
    features.declare()
    yield from switch_checks(config, live)
    yield from machine_checks(config)
    yield from http_checks(config)
    if config.redis.enabled:
        # a service alone needs nothing of it
        from .doctor_cluster import cluster_checks  # noqa: PLC0415

        yield from _made("redis", partial(cluster_checks, config))
    if providers:
        for name, check in findings.ELSEWHERE.items():
            yield from _made(name, partial(check, config))


def api(client: EslClient, command: str) -> str:
    """The answer to an api command that the builder made."""
    return client.send(builder.api(command))


def tell(client: EslClient, channel: str, headers: dict[str, str]) -> str:
    """The answer of a channel that is told something that the builder made."""
    return client.send(builder.to_channel(channel), None, headers)


def switch_checks(config: Config, live: bool = False) -> Iterator[Check]:
    """Everything asked over the event socket, of each switch; with `live` what is tried on request as well.
    Of several switches each check begins with the name of its own."""
    if not config.switches:
        yield from _of_switch(config, live)
    for one in config.switches:
        own = replace(config, switch=one.settings, switches=(one,))
        for check in _of_switch(own, live, config.switches):
            yield replace(check, name=f"{one.name}: {check.name}")


def _of_switch(config: Config, live: bool, all_of_them: tuple[ListedSwitch, ...] = ()) -> Iterator[Check]:
    address = host_port(config.switch.host, config.switch.port)
    client = EslClient(
        config.switch.host, config.switch.port, config.switch.password, timeout=config.switch.connect_timeout
    )
    try:
        client.connect()
    except AuthenticationFailed as error:
        yield Check("event socket", FAIL, f"{address}: {error}", "set switch.password")
        return
    except NotConnectedError as error:
        hint = "is FreeSWITCH running, with event_socket.conf.xml and its ACL as in freeswitch_conf/?"
        yield Check("event socket", FAIL, f"{address}: {error}", hint)
        return
    try:
        yield Check("event socket", OK, address)
        yield from _asked(config, client)
        yield from _made("tethers", partial(tether_checks, config, all_of_them, partial(api, client)))
        if config.redis.enabled:
            from .doctor_cluster import fence_checks  # noqa: PLC0415

            yield from _made("owner", partial(fence_checks, config, partial(api, client)))
        if live:
            for name, check in findings.ON_REQUEST.items():
                yield from _made(name, partial(check, config, partial(api, client), partial(tell, client)))
    except (NotConnectedError, CommandTimeout) as error:
        yield Check("event socket", FAIL, str(error), "the switch stopped answering")
    finally:
        client.stop()


def _asked(config: Config, client: EslClient) -> Iterator[Check]:
    version = api(client, "version")
    known = re.search(r"Version (1\.1[01]|sandbox)", version)
    hint = "" if known else "1.10 and 1.11 are supported"
    yield Check("version", OK if known else WARN, version.partition("Version ")[2][:60] or version[:60], hint)
    yield _password(config)
    yield from _modules(config, client)
    yield from _configuration(config, client)
    yield from _made("SIP transports", partial(sip_checks, config, partial(api, client)))
    yield _rate(client)
    for name, check in findings.ON_SWITCH.items():
        yield from _made(name, partial(check, config, partial(api, client)))


def _password(config: Config) -> Check:
    if config.switch.password != DEFAULT_PASSWORD:
        return Check("password", OK, "not the default")
    try:
        local = ipaddress.ip_address(config.switch.host).is_loopback
    except ValueError:
        local = config.switch.host == "localhost"
    hint = "change it in event_socket.conf.xml and switch.password"
    return Check("password", WARN if local else FAIL, "FreeSWITCH's default", hint)


def _modules(config: Config, client: EslClient) -> Iterator[Check]:
    missing = [name for name in NEEDED_MODULES if api(client, builder.module_exists(name)) != "true"]
    hint = "load them in modules.conf.xml" if missing else ""
    yield Check("needed modules", FAIL if missing else OK, ", ".join(missing) or "all loaded", hint)
    uses = {module: list(known) for module, known in facts.NEEDED.items()}
    for codec, module in CODEC_MODULES.items():
        if codec in config.sip.codecs:
            uses.setdefault(module, []).append(f"{codec} calls")
    useful = {module: " and ".join(named) for module, named in uses.items()}
    for name, use in useful.items():
        if name not in NEEDED_MODULES and api(client, builder.module_exists(name)) != "true":
            yield Check(name, WARN, "not loaded", f"needed for {use}")


def _configuration(config: Config, client: EslClient) -> Iterator[Check]:
    profile = config.switch.sofia_profile
    status = api(client, builder.sofia_profile_status(profile))
    running = "<profile>" in status or "<profile-info>" in status
    hint = "" if running else "add sip_profiles/vsi.xml, or set switch.sofia_profile"
    yield Check(
        "SIP profile", OK if running else FAIL, profile if running else f"{profile} is not running", hint
    )
    rooms = api(client, builder.configuration("conference.conf"))
    if "-ERR" not in rooms:
        lacking = [name for name in ("vsi8000", "vsi16000", "vsi48000") if f'"{name}"' not in rooms]
        hint = "add conference.conf.xml from freeswitch_conf/" if lacking else ""
        yield Check("conference profiles", FAIL if lacking else OK, ", ".join(lacking) or "all three", hint)
    for name, wanted, loss in (
        ("sip_watch_headers", "CSeq", "a refused hold or transfer is not noticed, nor a REFER declined"),
        ("intercept_unanswered_only", "true", "an INVITE with Replaces can take over a call"),
    ):
        value = api(client, builder.global_getvar(name))
        good = wanted in value
        hint = "" if good else f"include vars_vsi.xml: without it {loss}"
        yield Check(name, OK if good else WARN, value or "not set", hint)


def _made(name: str, check: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """A feature's check. One that fails itself is a finding, and the others are made all the same."""
    try:
        yield from check()
    except (NotConnectedError, CommandTimeout):
        raise
    except Exception as error:
        yield Check(name, FAIL, f"the check failed: {error!r}", "report it with this line")


def _rate(client: EslClient) -> Check:
    status = api(client, "status")
    match = re.search(r"per Sec out of max (\d+)", status)
    if match is None:
        return Check("sessions per second", WARN, "not told by the switch")
    rate = int(match[1])
    hint = "" if rate >= GOOD_SESSIONS_PER_SECOND else "raise sessions-per-second in switch.conf.xml"
    return Check("sessions per second", OK if not hint else WARN, str(rate), hint)


def machine_checks(config: Config) -> Iterator[Check]:
    """What this machine must offer to the service itself."""
    for name, check in findings.ON_MACHINE.items():
        yield from _made(name, partial(check, config))
    state = config.state.path
    if state != ":memory:":
        yield writable("state directory", os.path.dirname(os.path.abspath(state)), FAIL)

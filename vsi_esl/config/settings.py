"""The core's settings, each declared once: its place in the file, its variable, its parser, its default, its
meaning. Those of features are beside them (see `sections`).

Where the reference server has a variable for the same thing, its name is used.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, replace
from typing import Any, TypeVar

from . import values
from .cluster import RedisSettings, ServiceSettings
from .declare import default_state_path, setting
from .providers import ProviderSettings
from .web import AccessSettings, ReplaySettings, WebhookSettings

T = TypeVar("T")

CODECS = ("PCMU", "PCMA", "G722", "opus")


def random_id(_: Mapping[str, str]) -> str:
    """A new UUID."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """How to reach and use FreeSWITCH."""

    host: str = setting("VSI_ESL_SWITCH_HOST", values.host, "127.0.0.1", "Address of the event socket.")
    port: int = setting("VSI_ESL_SWITCH_PORT", values.integer(1, 65535), 8021, "Port of the event socket.")
    password: str = setting(
        "VSI_ESL_SWITCH_PASSWORD", values.some_text, "ClueCon", "Password of the event socket.", secret=True
    )
    sofia_profile: str = setting(
        "VSI_ESL_SOFIA_PROFILE", values.name, "vsi", "SIP profile that outbound legs are dialled with."
    )
    sofia_profile_ipv6: str = setting(
        "VSI_ESL_SOFIA_PROFILE_IPV6", values.name, "vsi6", "SIP profile that IPv6 addresses are dialled with."
    )
    bond_uuid: str = setting(
        "VSI_ESL_BOND_UUID",
        values.name,
        "vsi-bond",
        "Id of the dummy channel that makes inbound REFERs wait; one per service on a shared switch.",
    )
    connect_timeout: float = setting(
        "VSI_ESL_CONNECT_TIMEOUT", values.duration, 5.0, "Limit for connecting and logging in."
    )
    command_timeout: float = setting(
        "VSI_ESL_COMMAND_TIMEOUT", values.duration, 5.0, "Limit for the answer to one command."
    )
    job_timeout: float = setting(
        "VSI_ESL_JOB_TIMEOUT", values.duration, 30.0, "Limit for a background job that is not a call."
    )
    backoff_min: float = setting(
        "VSI_ESL_BACKOFF_MIN", values.duration, 0.25, "Shortest wait before connecting again."
    )
    backoff_max: float = setting(
        "VSI_ESL_BACKOFF_MAX", values.duration, 10.0, "Longest wait before connecting again."
    )
    sweep_interval: float = setting(
        "VSI_ESL_SWEEP_INTERVAL",
        values.duration_or_zero,
        60.0,
        "Time between looks at the switch for calls without a leg, and legs without a call; 0 for none.",
    )
    lost_after: float = setting(
        "VSI_ESL_SWITCH_LOST_AFTER",
        values.duration_or_zero,
        600.0,
        "Report the legs of a switch as ended (switch_lost) when it cannot be reached for so long; what is up"
        " when it comes back is hung up. 0 for never.",
    )


def _member(parse: Any, help_text: str, default: Any = MISSING) -> Any:
    """A member of an entry of `switches`, which has no variable."""
    metadata = {"parse": parse, "help": help_text, "secret": False}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class CompanionLink:
    """Where the companion of a switch is: the member `companion` of an entry of `switches`."""

    address: str = _member(values.remote_address, "Where it listens, host:port.")
    ca: str = _member(values.file_path, "PEM file of the authority that its certificate has to be signed by.")
    certificate: str = _member(values.file_path, "PEM file of the certificate that the service shows it.")
    key: str = _member(values.file_path, "PEM file of the key of that, without a password.")
    name: str = _member(
        values.host_or_none, "Name that its certificate has to be for; empty for the host of `address`.", ""
    )


@dataclass(frozen=True, slots=True)
class ListedSwitch:
    """One of several switches: an entry of the list `switches`."""

    name: str = _member(
        values.name, "What it is called in /readyz, metrics, the log and the state; not to be changed."
    )
    settings: SwitchSettings = field(default_factory=SwitchSettings)
    weight: int = _member(
        values.integer(1, 1000), "Its share: new calls go where the fewest legs are for the weight.", 1
    )
    capacity: int = _member(
        values.integer(0, 1_000_000), "Most legs on it, inbound ones included; 0 for no limit.", 0
    )
    drain: bool = _member(
        values.boolean,
        "Have no new calls made on it, but into rooms that it has; `vsi-esl switches drain` does the same.",
        False,
    )
    tether: str = _member(
        values.ip_and_port,
        "Where the other switches reach its SIP profile for tethers, an IP address and a port: its legs"
        " can be in their rooms then, and theirs in its own. Empty for none.",
        "",
    )
    tether_profile: str = _member(values.name, "Name of that SIP profile.", "vsi_tether")
    tether_codec: str = _member(
        values.choice("l16", "g722", "opus"),
        "Codec of tethers into its rooms: l16 is not compressed (260 kbit/s each way for a room of 16 kHz).",
        "l16",
    )
    group: str = _member(
        values.name,
        "Of several services: the switches of one group have one owner at a time; two groups with tethers"
        " between them are one for as long (`service.grow_groups`). Empty: those with `tether` are one group,"
        " each other is for itself.",
        "",
    )
    companion: CompanionLink | None = None
    """Of a switch on another machine; without one, its files are where the service is."""

    @property
    def unit(self) -> str:
        """The same of switches that have one owner at a time, among several services."""
        if self.group:
            return f"group {self.group}"
        return "tethers" if self.tether else f"switch {self.name}"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The listener for VSI clients and health checks."""

    addr: str = setting(
        "HTTP_ADDR",
        values.address,
        "127.0.0.1:8080",
        'Listen address; ":8080" listens on all interfaces, or on 127.0.0.1 only while there are no tokens.',
    )
    shutdown_timeout: float = setting(
        "VSI_ESL_SHUTDOWN_TIMEOUT", values.duration, 10.0, "Longest time a shutdown takes. Calls stay up."
    )

    @property
    def host(self) -> str:
        """The host part; empty for all interfaces."""
        return self.addr.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.addr.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class VsiSettings:
    """VSI connections."""

    event_buffer_size: int = setting(
        "VSI_EVENT_BUFFER_SIZE",
        values.event_buffer,
        256,
        "Events queued per client before new ones are dropped (and counted); 16 to 1000000.",
    )
    max_frame_bytes: int = setting(
        "VSI_ESL_MAX_FRAME_BYTES", values.size, 1 << 20, "Largest message a client may send."
    )
    write_timeout: float = setting(
        "VSI_ESL_WRITE_TIMEOUT", values.duration, 5.0, "A client that takes longer to read is disconnected."
    )
    ping_interval: float = setting("VSI_ESL_PING_INTERVAL", values.duration, 30.0, "Time between pings.")
    idle_timeout: float = setting(
        "VSI_ESL_IDLE_TIMEOUT",
        values.duration_or_zero,
        0.0,
        "Disconnect a client that sends nothing for so long; 0 for never (the reference: 60 s).",
    )
    max_clients: int = setting(
        "VSI_ESL_MAX_CLIENTS", values.integer(1, 100_000), 1000, "Most VSI connections at once."
    )


@dataclass(frozen=True, slots=True)
class StateSettings:
    """What survives a restart of the service."""

    path: str = setting(
        "VSI_ESL_STATE_PATH",
        values.file_path,
        default_state_path,
        "SQLite file with rooms and open legs; each service needs its own.",
        default_text="state.sqlite3 in $STATE_DIRECTORY, else in ~/.local/state/vsi_esl",
        example="/var/lib/vsi_esl/state.sqlite3",
    )


@dataclass(frozen=True, slots=True)
class SipSettings:
    """SIP behaviour that is the service's to decide."""

    auto_ringing: bool = setting(
        "SIP_AUTO_RINGING", values.boolean, False, "Send 180 to every inbound call at once.", live=True
    )
    domain: str = setting(
        "SIP_DOMAIN",
        values.sip_domain,
        "",
        "Host part of From on outbound calls; empty for the switch's address.",
        live=True,
    )
    outbound_proxy: str = setting(
        "SIP_OUTBOUND_PROXY",
        values.sip_proxy,
        "",
        "SIP URI of the proxy that outbound calls go through, a loose Route; `create_leg` can name another,"
        " and calls by a trunk have the trunk's.",
        live=True,
    )
    inband_dtmf: str = setting(
        "VSI_ESL_SIP_INBAND_DTMF",
        values.choice("off", "auto", "on"),
        "off",
        "Listen for digits in what legs say, which costs CPU and may hear some in speech; auto: on legs whose"
        " peer takes no part in RFC 4733. `create_leg` and `answer_leg` can say otherwise.",
        live=True,
    )
    codecs: tuple[str, ...] = setting(
        "SIP_CODECS",
        values.codecs(CODECS),
        CODECS,
        "Codecs used when a command names none: the first of the caller's offer that is listed here.",
        live=True,
    )


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """Calls whose media stopped, and live audio (speech, agents)."""

    rtp_timeout: float = setting(
        "VSI_ESL_RTP_TIMEOUT",
        values.duration_or_zero,
        30.0,
        "Hang up after so long without RTP; 0 for never.",
    )
    hold_timeout: float = setting(
        "VSI_ESL_HOLD_TIMEOUT",
        values.duration_or_zero,
        7200.0,
        "Hang up a leg held for so long; 0 for never.",
        live=True,
    )
    workers: int = setting(
        "VSI_ESL_MEDIA_WORKERS",
        values.integer(0, 64),
        0,
        "Most processes that carry live audio, started when they are needed; 0 for one per core, at most 4.",
    )
    spare_worker: bool = setting(
        "VSI_ESL_MEDIA_SPARE_WORKER",
        values.boolean,
        True,
        "Start one of them with the service: the first session begins at once, and misses no word.",
    )
    max_sessions: int = setting(
        "VSI_ESL_MEDIA_MAX_SESSIONS", values.integer(1, 10_000), 400, "Most sessions of live audio at once."
    )
    speech_lead: float = setting(
        "VSI_ESL_MEDIA_SPEECH_LEAD",
        values.speech_lead,
        0.06,
        "How far live speech to the switch is ahead of the clock, 20ms to 60ms; with less it stops sooner.",
    )
    speech_queue: float = setting(
        "VSI_ESL_MEDIA_SPEECH_QUEUE",
        values.duration,
        60.0,
        "How much live speech may wait to be said; more is dropped, and counted.",
    )


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """Rooms."""

    default_sample_rate: int = setting(
        "DEFAULT_SAMPLE_RATE", values.sample_rate, 16000, "Rate of rooms that name none, in Hz.", live=True
    )


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """Speaking events."""

    detection_enabled: bool = setting(
        "SPEECH_DETECTION_ENABLED",
        values.boolean,
        False,
        "speaking.* events for legs that do not say.",
        live=True,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log on standard output."""

    level: str = setting(
        "LOG_LEVEL",
        values.choice("debug", "info", "warn", "error"),
        "info",
        "Least severe level logged.",
        live=True,
    )
    format: str = setting(
        "VSI_ESL_LOG_FORMAT",
        values.choice("auto", "json", "console"),
        "auto",
        "json, console, or auto: console on a terminal.",
    )
    numbers: bool = setting(
        "VSI_ESL_LOG_NUMBERS",
        values.boolean,
        False,
        "Numbers of callers and of those called, and what else names them, in lines above debug.",
        live=True,
    )


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one process."""

    instance_id: str = setting(
        "INSTANCE_ID",
        values.some_text,
        random_id,
        "Name of this process in events and replies.",
        default_text="a random UUID",
        example="pbx1",
    )
    switch: SwitchSettings = field(default_factory=SwitchSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    vsi: VsiSettings = field(default_factory=VsiSettings)
    state: StateSettings = field(default_factory=StateSettings)
    sip: SipSettings = field(default_factory=SipSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    rooms: RoomSettings = field(default_factory=RoomSettings)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    switches: tuple[ListedSwitch, ...] = ()

    @property
    def all_elsewhere(self) -> bool:
        """Whether each switch has a companion: the service has no business with files then."""
        return bool(self.switches) and all(one.companion is not None for one in self.switches)

    """Several of them, in the order of the file; empty for the one of `switch`."""
    log: LogSettings = field(default_factory=LogSettings)
    of_features: Mapping[type, Any] = field(default_factory=dict)
    """The sections of features by their class."""

    def section(self, kind: type[T]) -> T:
        """A feature's section; its defaults when nothing was said of it."""
        found: T | None = self.of_features.get(kind)
        return kind() if found is None else found

    def having(self, *sections: object) -> Config:
        """The same with these sections of features."""
        return replace(self, of_features={**self.of_features, **{type(one): one for one in sections}})

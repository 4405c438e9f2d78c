"""One leg: its state, its flags, and its view."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, NotRequired, TypedDict

from .amd import AmdParameters
from .channel import Channel, Tether
from .digits import Presses
from .legtypes import LEG_TYPES, WEBSOCKET_IN, LegType, require

RINGING = "ringing"
EARLY_MEDIA = "early_media"
CONNECTED = "connected"
HELD = "held"
HUNG_UP = "hung_up"


@dataclass(slots=True, frozen=True)
class OfferedCodec:
    """A codec of the caller's offer that VSI knows; `priority` counts from 1 in the offer's order."""

    name: str
    payload_type: int
    clock_rate: int
    priority: int


@dataclass(slots=True)
class Webhook:
    """Where a leg's or room's events go instead of the global webhook."""

    url: str
    secret: str = ""


class LegView(TypedDict):
    """A leg as clients see it."""

    id: str
    type: Annotated[str, {"enum": list(LEG_TYPES)}]
    state: Annotated[str, {"enum": [RINGING, EARLY_MEDIA, CONNECTED, HELD]}]
    room_id: NotRequired[str]
    muted: bool
    deaf: bool
    accept_dtmf: bool
    held: bool
    role: NotRequired[str]
    app_id: NotRequired[str]
    sip_headers: NotRequired[dict[str, str]]
    headers: Annotated[NotRequired[dict[str, str]], "Of its peer; over SIP the same as sip_headers."]


@dataclass(slots=True)
class Leg:
    """A call between the switch and one peer. `id` is the channel's UUID. Times are those of `clock`."""

    id: str
    type: str
    created_at: float
    state: str = RINGING
    app_id: str = ""
    role: str = ""
    muted: bool = False
    deaf: bool = False
    accept_dtmf: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    offered_codecs: tuple[OfferedCodec, ...] = ()
    offered: bool = True
    """Its INVITE had an offer. Else ours goes out with the answer, and its ACK brings the peer's (3PCC)."""
    from_user: str = ""
    to_user: str = ""
    uri: str = ""
    trunk: str = ""
    """The gateway that it calls by, or came by."""
    webhook: Webhook | None = None

    channel: Channel = field(default_factory=Channel)
    tether: Tether | None = None
    """By which it is in a room of another switch."""
    call_id: str = ""
    local_tag: str = ""
    """The switch's. With the two others it names the SIP dialog (RFC 3261, 12); known from the answer on."""
    remote_tag: str = ""
    own_cseq: int = 0
    """The highest CSeq of the switch's own requests within the call that its peer has answered; 0 for none,
    -1 when that is not known."""
    answered_at: float = 0.0
    room_id: str = ""
    """The room the leg is in, as the switch reported it; empty outside rooms."""
    target_room: str = ""
    """The room the leg is to be in: where it is, where it is going, or where it goes once it has media."""
    role_given: bool = False
    """The add that is under way named a role, which joining announces."""
    silenced: bool = False
    """Joining a room with routing, or one that is gone: neither heard nor hearing until its relations are
    set, or it is elsewhere."""
    dialling: bool = False
    """Outbound, and the switch's dialler still has the channel: taking it away cancels the dialling."""
    needs_conference: bool = False
    """In no room it is to have a conference of its own: see `calls.alone`."""
    sends_silence: bool = False
    """Waits unanswered in a playback of silence, on which a whisper can ride."""
    secured: bool = False
    """Its media is encrypted, and the handshake for that is over."""
    answer_seen_at: float = 0.0
    """When the peer answered, while the leg is not connected because it goes into its room first."""
    early_media_asked: bool = False
    answer_asked: bool = False

    held_by_us: bool = False
    held_by_peer: bool = False
    held_since: float = 0.0
    peer_offered: bool = False
    """The peer has sent a re-INVITE, whose outcome its ACK will show."""

    refer_held: bool = False
    """A REFER of the peer has waited for our answer, which changes where the switch tells of ours."""

    speech_detection: bool = False
    speaking: bool = False
    dtmf_seq: int = 0
    presses: Presses = field(default_factory=Presses)
    inband_dtmf: str = ""
    """Whether digits are listened for in what it says, ON or OFF; empty for what the settings say."""

    rtt_negotiated: bool = False
    accept_rtt: bool = True
    rtt_seq: int = 0
    text_after: float = 0.0
    """From when on the switch has a timestamp of its own for the next real-time text."""

    ring_deadline: float = 0.0
    """When an unanswered outbound leg is given up; 0 for never."""
    max_duration: float = 0.0
    """Seconds from answer to our hanging up; 0 for no limit."""
    ending: str = ""
    """Why we are hanging up: the reason of the coming leg.disconnected. Empty while we are not."""
    failing_as: str = ""
    """The reason of its end when it is never answered and we did not end it; empty for the switch's."""
    rang_at: float = 0.0
    """When it first rang or had early media, as the switch has told with a later event; 0 for not known."""
    sip_status: int = 0
    """The final status of its INVITE, or of what ended the call; 0 for none, or not known."""
    hangup_cause: str = ""
    """The switch's word for why it ended."""
    outrun: bool = False
    """There was nothing left to hang up: it had ended before, and not for our reason."""
    silent_leave: bool = False
    """Its room is being deleted, which reports no leg.left_room."""
    unseen: bool = False
    """Not on the switch when we last looked."""

    amd: AmdParameters | None = None
    rtt: bool = False

    @property
    def node(self) -> str:
        """The name of the switch it is on."""
        return self.channel.node

    @property
    def seat(self) -> Channel | Tether:
        """Where its member is: node, conference and member id. Mute, deaf, routing and what else is of the
        room is done there; all that is of the call, on its channel."""
        return self.tether or self.channel

    @property
    def member_channel(self) -> str:
        """The channel of its member, on the switch of its seat."""
        return self.tether.id if self.tether is not None else self.id

    @property
    def inbound(self) -> bool:
        return self.kind.inbound

    @property
    def kind(self) -> LegType:
        """What is to be known of it by its type."""
        return LEG_TYPES[self.type]

    @property
    def peer_is_ours(self) -> bool:
        """The connection with its peer is the service's."""
        return self.kind.peer_is_ours

    def require(self, command: str) -> None:
        """Raise the error that a command is refused with which legs of this type do not have."""
        require(self.type, command)

    @property
    def held(self) -> bool:
        return self.state == CONNECTED and (self.held_by_us or self.held_by_peer)

    @property
    def shown_state(self) -> str:
        """The state as VSI names it: a held leg is `held`, not `connected`."""
        return HELD if self.held else self.state

    @property
    def joins_by_itself(self) -> bool:
        """It rings, and the switch is to put it into its room when it has media."""
        by_switch = not self.inbound and not self.peer_is_ours
        return by_switch and self.state == RINGING and bool(self.target_room)

    @property
    def has_media(self) -> bool:
        return self.state in (EARLY_MEDIA, CONNECTED)

    @property
    def solo_conference(self) -> str:
        """The conference it sits in alone, so that it gets RTP and is listened to outside rooms."""
        return f"leg-{self.id}"

    def hears_nothing(self, conference: str) -> bool:
        """Deaf by command, or held by us, or not yet routed: nothing of the room may reach the peer.

        Alone, a deaf leg hears: what there is to hear is played to it.
        """
        deaf = self.deaf and conference != self.solo_conference
        return deaf or self.held_by_us or self.silenced

    @property
    def says_nothing(self) -> bool:
        """Muted by command, or not yet routed."""
        return self.muted or self.silenced

    def view(self) -> LegView:
        """Empty optional members are left out."""
        view: LegView = {
            "id": self.id,
            "type": self.type,
            "state": self.shown_state,
            "room_id": self.room_id,
            "muted": self.muted,
            "deaf": self.deaf,
            "accept_dtmf": self.accept_dtmf,
            "held": self.held,
            "role": self.role,
            "app_id": self.app_id,
        }
        if not self.room_id:
            del view["room_id"]
        if not self.role:
            del view["role"]
        if not self.app_id:
            del view["app_id"]
        if self.headers and self.inbound:
            view["sip_headers"] = self.headers
        if self.headers and (self.inbound or self.type == WEBSOCKET_IN):
            view["headers"] = self.headers
        return view

"""Conferences of the sandbox: members, flags, relations, and their maintenance events (mod_conference)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from . import quoting
from .calls import STEP_S
from .channels import Channel
from .files import COMMANDS, Files
from .timers import Timers

if TYPE_CHECKING:
    from .server import SandboxSwitch

TALK_DELAY_S = 0.04
"""From joining to the first start-talking of somebody who speaks."""
DESTROY_DELAY_S = 0.012
"""From the last del-member to the end: later than all else that the end of its last channel brings."""


@dataclass(slots=True)
class Member:
    """A channel's stay in a conference."""

    channel: Channel
    conference: Conference
    speak: bool = True
    hear: bool = True
    talking: bool = False


@dataclass(slots=True)
class Conference:
    """Comes into being with its first member, ends with its last."""

    name: str
    profile: str
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.monotonic)
    members: dict[int, Member] = field(default_factory=dict)
    relations: dict[tuple[int, int], str] = field(default_factory=dict)
    """(owner, other) -> `nohear`: the owner does not hear the other; `nospeak`: the reverse."""
    timers: Timers = field(default_factory=Timers)
    files: Files = field(init=False)

    @property
    def rate(self) -> int:
        digits = "".join(char for char in self.profile if char in "0123456789")
        return int(digits[:6] or 8000)

    def carries(self, speaker: Member, listener: Member) -> bool:
        """Whether the relations of the two let the one be heard by the other."""
        here, there = speaker.channel.member_id, listener.channel.member_id
        return "nospeak" not in self.relations.get((here, there), "") and "nohear" not in self.relations.get(
            (there, here), ""
        )

    def headers(self) -> dict[str, Any]:
        return {
            "Conference-Name": self.name,
            "Conference-Size": str(len(self.members)),
            "Conference-Profile-Name": self.profile,
            "Conference-Unique-ID": self.uuid,
        }

    def listing(self) -> dict[str, Any]:
        """The conference as `json_list` shows it; the newest member comes first."""
        return {
            "conference_name": self.name,
            "member_count": len(self.members),
            "ghost_count": 0,
            "rate": self.rate,
            "run_time": int(time.monotonic() - self.began),
            "conference_uuid": self.uuid,
            "members": [
                {
                    "type": "caller",
                    "id": number,
                    "flags": {
                        "can_hear": member.hear,
                        "can_see": True,
                        "can_speak": member.speak,
                        "hold": False,
                        "talking": member.talking,
                    },
                    "uuid": member.channel.uuid,
                    "caller_id_name": member.channel.caller_name,
                    "caller_id_number": member.channel.caller_number,
                }
                for number, member in reversed(self.members.items())
            ],
        }


class Conferences:
    """All conferences of the switch."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self.by_name: dict[str, Conference] = {}
        self._last_member = 0
        self._targets: dict[str, Callable[[Member], str]] = {
            "mute": self._mute,
            "unmute": self._unmute,
            "deaf": self._deaf,
            "undeaf": self._undeaf,
            "kick": self._kick,
            "hup": self._hup,
        }

    def join(self, channel: Channel, target: str) -> None:
        """Enter `NAME@PROFILE+flags{mute|deaf}`. A mute or deaf set in an earlier stay is forgotten."""
        room, _, options = target.partition("+")
        name, at, profile = room.rpartition("@")
        if not at:
            name, profile = room, "default"
        flags = options.removeprefix("flags{").rstrip("}").split("|")
        flags += channel.variables.get("conference_member_flags", "").split("|")
        conference = self.by_name.get(name)
        if conference is None:
            conference = self.by_name[name] = self._create(name, profile)
        channel.variables["conference_name"] = name
        if channel.internal:
            self._switch.calls.answer(channel)
        if not channel.member_id:
            # the id belongs to the channel, in whatever conference it is
            self._last_member += 1
            channel.member_id = self._last_member
        member = Member(channel, conference, "mute" not in flags, "deaf" not in flags)
        conference.members[channel.member_id] = channel.member = member
        channel.variables |= {
            "conference_member_id": str(channel.member_id),
            "conference_uuid": conference.uuid,
        }
        self._fire(conference, member, "add-member")
        channel.timers.later(TALK_DELAY_S, self._speak_up, member)

    def _create(self, name: str, profile: str) -> Conference:
        conference = Conference(name, profile)
        fire, sounding = partial(self._fire_file, conference), partial(self._sounding, conference)
        conference.files = Files(conference.rate, conference.timers, fire, sounding)
        self._fire(conference, None, "conference-create")
        return conference

    def leave(self, channel: Channel) -> None:
        """Out of the conference, for whatever reason. What the channel wished not to hear is forgotten."""
        member = channel.member
        if member is None:
            return
        conference = member.conference
        channel.member = None
        # a test may have wiped the switch clean
        conference.members.pop(channel.member_id, None)
        for pair in [pair for pair in conference.relations if pair[0] == channel.member_id]:
            del conference.relations[pair]
        self._fire(conference, member, "del-member")
        if not conference.members and self.by_name.get(conference.name) is conference:
            # a new one of this name may begin before the end of this one is reported
            del self.by_name[conference.name]
            conference.timers.cancel()
            self._switch.timers.later(DESTROY_DELAY_S, self._destroy, conference)

    def _destroy(self, conference: Conference) -> None:
        conference.files.close()
        self._fire(conference, None, "conference-destroy")

    def pass_on_text(self, channel: Channel, line: str) -> None:
        """A line of real-time text: to every other member that reads text, behind the typist's name."""
        member = channel.member
        if member is None:
            return
        for other in member.conference.members.values():
            if other is not member and other.channel.text_possible:
                other.channel.far.texts.append(f"{channel.caller_name}::\n{line}")

    def set_talking(self, channel: Channel, talking: bool) -> None:
        """The peer speaks or falls silent; a muted member gives no such event."""
        channel.far.talking = talking
        member = channel.member
        if member is None or member.talking is talking or not member.speak or channel.held == "peer":
            return
        member.talking = talking
        self._fire(member.conference, member, "start-talking" if talking else "stop-talking")

    def _sounding(self, conference: Conference, on: bool) -> None:
        """A file begins or ends: whoever passes it on to another conference talks there."""
        for member in conference.members.values():
            bot = member.channel.other
            if bot is not None and member.hear:
                bot.far.talking = on
                bot.timers.later(TALK_DELAY_S, self.set_talking, bot, on)

    def _speak_up(self, member: Member) -> None:
        if member.channel.member is member and member.channel.far.talking:
            self.set_talking(member.channel, True)

    def command(self, text: str) -> str:
        """`conference NAME ...` and `conference json_list`."""
        words = quoting.separate(text, " ")
        if words[:1] == ["json_list"]:
            return self._switch.json([one.listing() for one in self.by_name.values()])
        if len(words) < 2:
            return "Conference command, not specified.\nTry 'help'"
        conference = self.by_name.get(words[0])
        if conference is None:
            return f"-ERR Conference {words[0]} not found"
        action, arguments = words[1], words[2:]
        if action == "json_list":
            return self._switch.json([conference.listing()])
        if action in COMMANDS:
            return conference.files.command(action, arguments)
        if words[1:3] == ["get", "count"]:
            return str(len(conference.members))
        if action == "relate":
            return self._relate(conference, *arguments[:3])
        if action in self._targets and arguments:
            return self._members(conference, self._targets[action], arguments[0])
        return f"-ERR Conference command '{action}' not found."

    def _members(self, conference: Conference, action: Callable[[Member], str], who: str) -> str:
        newest_first = list(reversed(conference.members.values()))
        if who == "all":
            chosen = newest_first
        elif who == "last":
            chosen = newest_first[:1]
        else:
            member = conference.members.get(int(who)) if _is_id(who) else None
            if member is None:
                return f"-ERR Non-Existant ID {who}" if _is_id(who) else "-ERR Non-Existant member"
            chosen = [member]
        return "\n".join(action(member) for member in chosen)

    def _mute(self, member: Member) -> str:
        member.speak = member.talking = False
        return self._flagged(member, "mute")

    def _unmute(self, member: Member) -> str:
        member.speak = True
        answer = self._flagged(member, "unmute")
        member.channel.timers.later(STEP_S, self._speak_up, member)
        return answer

    def _deaf(self, member: Member) -> str:
        member.hear = False
        return self._flagged(member, "deaf")

    def _undeaf(self, member: Member) -> str:
        member.hear = True
        return self._flagged(member, "undeaf")

    def _flagged(self, member: Member, action: str) -> str:
        self._fire(member.conference, member, f"{action}-member")
        return f"+OK {action} {member.channel.member_id}"

    def _hup(self, member: Member) -> str:
        self._fire(member.conference, member, "hup-member")
        member.channel.timers.later(STEP_S, self._let_go, member)
        return f"+OK hup {member.channel.member_id}"

    def _kick(self, member: Member) -> str:
        self._fire(member.conference, member, "kick-member")
        member.channel.timers.later(STEP_S, self._let_go, member)
        return f"+OK kicked {member.channel.member_id}"

    def _let_go(self, member: Member) -> None:
        """It only leaves the conference; what the transfer named after it decides what comes."""
        if member.channel.member is member and member.channel.alive:
            self._switch.dialplan.let_go(member.channel)

    def _relate(self, conference: Conference, owners: str = "", others: str = "", action: str = "") -> str:
        if not action:
            return self._relations(conference, owners)
        answers = []
        for owner in owners.split(","):
            for other in others.split(","):
                pair = (int(owner), int(other)) if _is_id(owner) and _is_id(other) else (0, 0)
                answers.append(self._relate_pair(conference, pair, action, f"{owner}->{other}"))
        return "\n".join(answers)

    def _relate_pair(self, conference: Conference, pair: tuple[int, int], action: str, shown: str) -> str:
        if action == "clear":
            found = [one for one in conference.relations if one[0] == pair[0] and pair[1] in (0, one[1])]
            for one in found:
                del conference.relations[one]
            if found or pair[1] == 0:
                return f"+OK relationship {shown} cleared."
        elif pair[0] in conference.members and pair[1] in conference.members:
            # one relation for each ordered pair: the second command replaces the first
            conference.relations[pair] = action
            if "nospeak" in action:
                self._begin_anew(conference.members[pair[0]])
            return f"+OK {shown} {action} set"
        return f"-ERR relationship {shown} not found."

    def _begin_anew(self, member: Member) -> None:
        member.talking = False
        member.channel.timers.later(STEP_S, self._speak_up, member)

    def _relations(self, conference: Conference, owner: str) -> str:
        if not conference.relations:
            return "+OK No relationships"
        lines = [
            f"{pair[0]} -> {pair[1]} {'NOSPEAK' if 'nospeak' in action else 'SPEAK'} "
            f"{'NOHEAR' if 'nohear' in action else 'HEAR'} NOSENDVIDEO "
            for pair, action in conference.relations.items()
            if str(pair[0]) == owner
        ]
        return "\n".join(lines) or "-ERR no reply"

    def _fire_file(self, conference: Conference, action: str, more: dict[str, str]) -> None:
        subclass = "conference::maintenance"
        if self._switch.wanted("CUSTOM", subclass, action):
            headers = conference.headers() | more | {"Action": action}
            self._switch.fire("CUSTOM", headers, subclass=subclass)

    def _fire(self, conference: Conference, member: Member | None, action: str) -> None:
        subclass = "conference::maintenance"
        if not self._switch.wanted("CUSTOM", subclass, action):
            return
        headers = conference.headers() | {"Action": action}
        if member is not None:
            headers |= member.channel.headers() | {
                "Member-ID": str(member.channel.member_id),
                "Member-Type": "member",
                "Member-Ghost": "false",
                "Speak": "true" if member.speak else "false",
                "Hear": "true" if member.hear else "false",
                "Talking": "true" if member.talking else "false",
            }
        self._switch.fire("CUSTOM", headers, subclass=subclass)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10

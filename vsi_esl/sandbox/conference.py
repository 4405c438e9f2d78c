"""Conferences of the sandbox: members, flags, relations, and their maintenance events."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch


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
    members: dict[int, Member] = field(default_factory=dict)
    relations: set[tuple[int, int]] = field(default_factory=set)

    @property
    def rate(self) -> int:
        digits = "".join(char for char in self.profile if char.isdigit())
        return int(digits or 8000)

    def headers(self) -> dict[str, str]:
        return {
            "Event-Subclass": "conference::maintenance",
            "Conference-Name": self.name,
            "Conference-Size": str(len(self.members)),
            "Conference-Profile-Name": self.profile,
            "Conference-Unique-ID": self.uuid,
        }

    def listing(self) -> dict[str, Any]:
        """The conference as `json_list` shows it."""
        return {
            "conference_name": self.name,
            "member_count": len(self.members),
            "rate": self.rate,
            "conference_uuid": self.uuid,
            "members": [
                {
                    "type": "caller",
                    "id": number,
                    "flags": {
                        "can_hear": member.hear,
                        "can_see": False,
                        "can_speak": member.speak,
                        "talking": member.talking,
                    },
                    "uuid": member.channel.uuid,
                    "caller_id_number": member.channel.caller_number,
                }
                for number, member in self.members.items()
            ],
        }


class Conferences:
    """All conferences of the switch."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self.by_name: dict[str, Conference] = {}
        self._last_member = 0

    def join(self, channel: Channel, name: str, profile: str, flags: set[str]) -> None:
        """Enter a conference; joining answers an unanswered inbound channel."""
        if not channel.answered and channel.direction == "inbound":
            self._switch.calls.answer(channel)
        conference = self.by_name.get(name)
        if conference is None:
            conference = self.by_name[name] = Conference(name, profile)
            self._fire(conference, None, "conference-create")
        if not channel.member_id:
            # the id belongs to the channel, in whatever conference it is
            self._last_member += 1
            channel.member_id = self._last_member
        member = Member(channel, conference, "mute" not in flags, "deaf" not in flags)
        conference.members[channel.member_id] = member
        channel.member = member
        channel.variables["conference_member_id"] = str(channel.member_id)
        channel.variables["conference_name"] = name
        self._fire(conference, member, "add-member")
        self.set_talking(channel, channel.far.talking)

    def leave(self, channel: Channel) -> None:
        """Out of the conference, for whatever reason."""
        member = channel.member
        if member is None:
            return
        conference = member.conference
        channel.member = None
        del conference.members[channel.member_id]
        conference.relations = {pair for pair in conference.relations if pair[0] != channel.member_id}
        self._fire(conference, member, "del-member")
        if not conference.members:
            del self.by_name[conference.name]
            self._fire(conference, None, "conference-destroy")

    def set_talking(self, channel: Channel, talking: bool) -> None:
        """The peer speaks or falls silent; a muted member gives no such event."""
        channel.far.talking = talking
        member = channel.member
        if member is None or member.talking is talking or not member.speak or channel.held == "peer":
            return
        member.talking = talking
        self._fire(member.conference, member, "start-talking" if talking else "stop-talking")

    def command(self, words: list[str]) -> str:
        """`conference NAME ...` and `conference json_list`."""
        if words == ["json_list"]:
            return self._switch.json([one.listing() for one in self.by_name.values()])
        if len(words) < 2:
            return "-ERR Usage: conference <name> <command>"
        conference = self.by_name.get(words[0])
        if conference is None:
            return f"-ERR Conference {words[0]} not found"
        if words[1] == "json_list":
            return self._switch.json([conference.listing()])
        if words[1:3] == ["get", "count"]:
            return str(len(conference.members))
        if words[1] == "relate" and len(words) >= 5:
            return self._relate(conference, words[2], words[3], words[4])
        if words[1] in ("kick", "hup") and len(words) > 2:
            return self._remove(conference, words[1], words[2])
        if words[1] in ("mute", "unmute", "deaf", "undeaf") and len(words) > 2:
            return self._flag(conference, words[1], words[2])
        return f"-ERR Conference command '{words[1]}' not found."

    def _flag(self, conference: Conference, action: str, who: str) -> str:
        member = conference.members.get(int(who)) if who.isdigit() else None
        if member is None:
            return f"-ERR Non-Existant ID {who}"
        if action in ("mute", "unmute"):
            member.speak = action == "unmute"
            member.talking = False
        else:
            member.hear = action == "undeaf"
        self._fire(conference, member, f"{action}-member")
        if action == "unmute" and member.channel.far.talking:
            self.set_talking(member.channel, True)
        return f"+OK {action} {who}"

    def _relate(self, conference: Conference, listeners: str, sources: str, action: str) -> str:
        answers = []
        for listener in listeners.split(","):
            for source in sources.split(","):
                known = listener.isdigit() and source.isdigit()
                pair = (int(listener), int(source)) if known else (0, 0)
                if pair[0] not in conference.members or pair[1] not in (0, *conference.members):
                    answers.append(f"-ERR relationship {listener}->{source} not found.")
                elif action == "clear":
                    stale = {
                        one for one in conference.relations if one[0] == pair[0] and pair[1] in (0, one[1])
                    }
                    conference.relations -= stale
                    answers.append(f"+OK relationship {listener}->{source} cleared.")
                else:
                    conference.relations.add(pair)
                    answers.append(f"+OK {listener}->{source} {action} set")
        return "\n".join(answers)

    def _remove(self, conference: Conference, action: str, who: str) -> str:
        numbers = list(conference.members) if who == "all" else [int(who)] if who.isdigit() else []
        members = [conference.members[number] for number in numbers if number in conference.members]
        for member in members:
            self._fire(conference, member, f"{action}-member")
            # our transfers always have `park` behind the conference
            self._switch.calls.park(member.channel)
        return f"+OK {action}ed {who}" if members else f"-ERR Non-Existant ID {who}"

    def _fire(self, conference: Conference, member: Member | None, action: str) -> None:
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
        self._switch.fire("CUSTOM", headers)

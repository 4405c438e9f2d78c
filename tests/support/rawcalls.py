"""Calls in the sandbox as a raw client of it makes and watches them."""

from __future__ import annotations

from .rawclient import RawClient, shown


def incoming(client: RawClient, answer: bool = True, **more) -> str:
    leg = client.sandbox(do="call", **more)
    if answer:
        assert client.api(f"uuid_answer {leg}") == "+OK"
    return leg


def dial(client: RawClient, user: str, variables: str = "", host: str = "127.0.0.1") -> str:
    leg = f"leg-{user}"
    more = f",{variables}" if variables else ""
    dial_string = f"{{origination_uuid={leg}{more}}}sofia/vsi/sip:{user}@{host}"
    answer = client.command(f"bgapi originate {dial_string} &park()\nJob-UUID: {leg}")
    assert answer.startswith("+OK")
    return leg


def ended(client: RawClient, leg: str) -> dict:
    """The last event of a channel that is over."""
    client.event(lambda one: one["Event-Name"] == "CHANNEL_DESTROY" and one["Unique-ID"] == leg)
    return next(
        one
        for one in client.events
        if one["Event-Name"] == "CHANNEL_HANGUP_COMPLETE" and one["Unique-ID"] == leg
    )


def of(client: RawClient, name: str, leg: str) -> dict:
    return client.event(lambda one: one["Event-Name"] == name and one.get("Unique-ID") == leg)


def sequence(client: RawClient, leg: str) -> list[str]:
    """What happened to a leg and to the job that made it, without the SIP messages on the way."""
    own = [one for one in client.events if leg in (one.get("Unique-ID"), one.get("Job-UUID"))]
    return [word for word in map(shown, own) if word != "notify_watched_header"]


def join(client: RawClient, leg: str, room: str, flags: str = "", behind: str = ",park") -> dict:
    client.api("version")  # what was fired before this is here now
    client.events.clear()
    target = f"set:signal_bond=vsi-bond,conference:{room}@vsi16000{flags}{behind}"
    assert client.api(f"uuid_transfer {leg} '{target}' inline") == "+OK"
    return action(client, leg, "add-member")


def action(client: RawClient, leg: str, name: str) -> dict:
    return client.event(lambda one: one.get("Action") == name and leg in (one.get("Unique-ID"), ""))

"""What `vsi-esl doctor` looks at of tethers: the SIP profile, and whether the other switches take them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..calls.tethers import new_id
from ..config import Config
from ..config.settings import ListedSwitch
from ..ops.findings import FAIL, OK, WARN, Ask, Check
from ..switch.lines import builder, tethers

ADDRESS = re.compile(r"<url>sips?:(?:[^@<]*@)?(\[[^\]<]*\]|[^:<]*):(\d+)")
NOT_NAMED = "CALL_REJECTED"
"""What an access list answers, and nothing else of ours does."""


def tether_checks(config: Config, listed: tuple[ListedSwitch, ...], ask: Ask) -> Iterator[Check]:
    """Of the switch in `config`, if it has a tether in the settings; of all others there is nothing to say.
    `listed` are all switches of the service."""
    own = next(iter(config.switches), None)
    if own is None or not own.tether:
        return
    profile = own.tether_profile
    status = ask(builder.sofia_profile_status(profile))
    if "<profile-info>" not in status:
        yield Check("tethers", FAIL, f"{profile} is not running", "see Tethers in freeswitch_conf/README.md")
        return
    found = ADDRESS.search(status)
    address = f"{found[1]}:{found[2]}" if found else "?"
    if address != own.tether:
        hint = "vsi_tether_ip and vsi_tether_port have to be what `tether` is in the settings"
        yield Check("tethers", FAIL, f"{profile} is at {address}, not at {own.tether}", hint)
        return
    yield Check("tethers", OK, f"{profile} at {address}")
    for other in listed:
        if other.name != own.name and other.tether:
            yield _towards(own, other, ask)


def _towards(own: ListedSwitch, other: ListedSwitch, ask: Ask) -> Check:
    """Whether the other switch looks at calls from this one."""
    name = f"tethers to {other.name}"
    answer = ask(tethers.trial(new_id(), own.tether_profile, other.tether)).strip()
    if answer.startswith(tethers.TRIAL_REFUSED):
        return Check(name, OK, f"{other.tether} takes them")
    if NOT_NAMED in answer:
        hint = f"name this switch in the list vsi_tethers of {other.name}'s vsi/acl_lists.xml"
        return Check(name, FAIL, f"{other.tether} refuses this switch", hint)
    if answer.startswith("+OK"):
        return Check(name, FAIL, f"{other.tether} takes calls of everybody", "use the context vsi_tether")
    return Check(name, WARN, f"{other.tether}: {answer[:60]}", "is it up, and can it be reached by UDP?")

"""What `vsi-esl doctor` looks at of WebRTC: the module, its profile, and whether the service may log in."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gevent

from ..config import Config
from ..config.loading import is_loopback
from ..errors import SwitchUnavailable
from ..ops.findings import OK, WARN, Ask, Check, switch_check
from ..switch.lines import builder
from .browsers import MODULE, PASSWORD, PORT, USER
from .verto import LoginRefused, NoVerto, Verto

NAME = "WebRTC"
PATIENCE_S = 3.0
OLD = re.compile(r"Version 1\.(?:10\.|11\.0)")


@switch_check(NAME)
def webrtc(config: Config, ask: Ask) -> Iterator[Check]:
    """Log in as the service would."""
    if ask(builder.module_exists(MODULE)) != "true":
        return  # said among the modules
    port, password = ask(builder.global_getvar(PORT)), ask(builder.global_getvar(PASSWORD))
    if not (port.isascii() and port.isdigit() and password):
        yield Check(NAME, WARN, "vsi_verto_port or vsi_verto_password is not set", "include vars_vsi.xml")
        return
    verto = Verto(config.switch.host, int(port))
    try:
        with gevent.Timeout(PATIENCE_S, NoVerto("no answer")):
            verto.connect()
            verto.login(USER, password)
        yield Check(NAME, OK, f"mod_verto at port {port}")
        if OLD.search(ask("version")):
            hint = "1.11.1 and later compare it; a browser's audio could be listened to on its way"
            yield Check("WebRTC certificates", WARN, "a browser's is not compared with its offer", hint)
    except (NoVerto, SwitchUnavailable) as error:
        hint = "include vsi/verto_profiles.xml in verto.conf.xml, and reload mod_verto"
        if not is_loopback(config.switch.host):
            hint += f"; a switch on another machine needs a bind-local with {config.switch.host} in it"
        yield Check(NAME, WARN, f"no mod_verto at port {port}: {error}", hint)
    except LoginRefused as error:
        yield Check(NAME, WARN, f"{USER} cannot log in: {error}", "add directory/vsi.xml, and reloadxml")
    finally:
        verto.close()

"""Headless Chromium over its DevTools protocol: a page, and what WebRTC does in it (`browser.js`)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import websocket

from .ending import ending_with_us

SCRIPT = Path(__file__).with_name("browser.js")
START_TIMEOUT_S = 60
CALL_TIMEOUT_S = 30
RATE = 48_000


def find_chromium() -> str | None:
    """The Chromium of this machine, or None."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """One process of it with one page. With `mdns` its candidates are names, as they are of a page that may
    not use the microphone; without, addresses."""

    def __init__(self, mdns: bool = False) -> None:
        binary = find_chromium()
        assert binary is not None
        self._home = tempfile.mkdtemp(prefix="vsi-chromium-")
        arguments = [
            *ending_with_us(),
            binary,
            "--headless=new",
            "--no-sandbox",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--allow-loopback-in-peer-connection",
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
            "--remote-allow-origins=*",
            f"--user-data-dir={self._home}",
        ]
        if not mdns:
            arguments.append("--disable-features=WebRtcHideLocalIpsWithMdns")
        self._process = subprocess.Popen(
            [*arguments, "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._home},  # it leaves its lock's directory where it is killed
            start_new_session=True,
        )
        self._ids = count(1)
        self.told: list[dict[str, Any]] = []
        """What it has told without being asked, in order: of domains that were enabled."""
        self._socket: websocket.WebSocket | None = None
        try:
            self._socket = websocket.create_connection(self._address(), timeout=CALL_TIMEOUT_S)
            targets = self._call("Target.getTargets")["targetInfos"]
            page = next(one["targetId"] for one in targets if one["type"] == "page")
            attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
            self._page = attached["sessionId"]
            self.evaluate(SCRIPT.read_text())
        except BaseException:
            self.stop()
            raise

    def _address(self) -> str:
        port_file = Path(self._home) / "DevToolsActivePort"
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            lines = port_file.read_text().splitlines() if port_file.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            assert self._process.poll() is None, "Chromium ended"
            assert time.monotonic() < deadline, "Chromium is not up"
            gevent.sleep(0.02)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A method of the DevTools protocol, of the page."""
        return self._call(method, self._page, **params)

    def ask_browser(self, method: str, **params: Any) -> dict[str, Any]:
        """A method of the whole browser."""
        return self._call(method, **params)

    def wait_told(self, method: str) -> None:
        """Wait until it tells this, unless it has."""
        assert self._socket is not None
        if any(one["method"] == method for one in self.told):
            return
        told = ""
        while told != method:
            message = json.loads(self._socket.recv())
            told = message["method"]
            self.told.append(message)

    def _call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        request = {"id": number, "method": method, "params": params}
        assert self._socket is not None
        self._socket.send(json.dumps(request | ({"sessionId": session} if session else {})))
        while True:
            reply = json.loads(self._socket.recv())
            if "method" in reply:
                self.told.append(reply)
            if reply.get("id") == number:
                assert "error" not in reply, reply["error"]
                result: dict[str, Any] = reply["result"]
                return result

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        result = self._call(
            "Runtime.evaluate",
            self._page,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def call(self, function: str, *args: Any) -> Any:
        """Call a function of the page."""
        return self.evaluate(f"{function}({','.join(map(json.dumps, args))})")

    def heard(self, name: str) -> np.ndarray:
        """What that peer has heard in the last 170 ms, at `RATE`, full scale being 32767."""
        samples = np.array(self.call("heard", name), np.float64)
        return (samples * 32767).astype(np.int16)

    def kill(self) -> None:
        """End it, and all its processes, without a word to anybody."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self.kill()
        if self._socket is not None:
            self._socket.close()
        shutil.rmtree(self._home, ignore_errors=True)

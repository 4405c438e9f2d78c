"""A page of ours in Chromium, as a person uses it: looks, clicks, types; and what the browser says of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .chromium import Chromium
from .waiting import eventually

KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
    "Home": (36, ""),
    "End": (35, ""),
    "Delete": (46, ""),
    " ": (32, " "),
}
FIND = """
const labelOf = (one) => one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent;
const nameOf = (one) => (labelOf(one) ?? one.textContent).trim();
function named(name, kinds = "button, a, summary, input, select") {
  const all = [...document.querySelectorAll(kinds)];
  const shown = (one) => one.checkVisibility() && !one.closest("[hidden]");
  const top = document.querySelector("dialog[open]");
  return all.find((one) => nameOf(one) === name && shown(one) && (!top || top.contains(one)));
}
window.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    (window.sockets ??= []).push(String(url));
  }
};
addEventListener("securitypolicyviolation", (event) =>
  (window.violations ??= []).push(`${event.violatedDirective} ${event.blockedURI}`));
"""
"""In each page that is opened: what a person would call a control by."""


class Page:
    """The page of a Chromium of its own."""

    def __init__(self) -> None:
        self.chromium = Chromium()
        self.tolerated: tuple[str, ...] = ()
        """What a test expects the browser to say of the page."""
        self.evaluate = self.chromium.evaluate
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.chromium.ask(f"{domain}.enable")
        self.chromium.ask("Page.addScriptToEvaluateOnNewDocument", source=FIND)

    def open(self, url: str, width: int = 1280, height: int = 800, phone: bool = False) -> None:
        """Go there, with nothing kept of another time."""
        self.size(width, height, phone)
        self.chromium.ask("Page.navigate", url="about:blank")
        origin = "/".join(url.split("/")[:3])
        self.chromium.ask("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
        self.chromium.told.clear()
        self.chromium.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def size(self, width: int, height: int, phone: bool = False) -> None:
        self.chromium.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    def dark(self, on: bool) -> None:
        """What the system asks for."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.chromium.ask("Emulation.setEmulatedMedia", features=features)

    def until(self, condition: str, timeout: float = 30.0) -> None:
        """Wait until an expression is true."""
        eventually(lambda: bool(self.evaluate(f"Boolean({condition})")), condition, timeout)

    def sees(self, text: str, selector: str = "body", timeout: float = 30.0) -> None:
        """Wait until a text is shown."""
        self.until(
            f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})", timeout
        )

    def text(self, selector: str = "body") -> str:
        found: str = self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return found

    def has(self, name: str) -> bool:
        """Whether there is a control of this name to be seen."""
        return bool(self.evaluate(f"Boolean(named({json.dumps(name)}))"))

    def click(self, name: str) -> None:
        """Click a control as soon as it is there; in one go, since what is beside it may come and go."""
        self.until(f"named({json.dumps(name)})")
        self.evaluate(f"(() => {{ const one = named({json.dumps(name)}); one.focus(); one.click(); }})()")

    def fill(self, name: str, text: str) -> None:
        """Write into a field, in place of what is there."""
        field = f"named({json.dumps(name)}, 'input')"
        self.until(field)
        self.evaluate(f"{field}.select(), {field}.focus()")
        self.chromium.ask("Input.insertText", text=text)

    def press(self, *keys: str) -> None:
        """Press keys, by their names in KeyboardEvent.key."""
        for key in keys:
            code, text = KEYS[key] if key in KEYS else (ord(key.upper()), key)
            common = {"key": key, "windowsVirtualKeyCode": code}
            self.chromium.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.chromium.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    @property
    def focused(self) -> str:
        """The name of what has the focus."""
        found: str = self.evaluate("nameOf(document.activeElement)")
        return found

    def controls(self) -> list[tuple[str, str]]:
        """Role and name of all that assistive technology is told of, in order."""
        nodes = self.chromium.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    def problems(self, but: tuple[str, ...] = ()) -> list[str]:
        """Errors and warnings of the browser's console, exceptions and violations of the policy; without
        those that contain one of these texts."""
        found = list(self.evaluate("window.violations ?? []"))
        for message in self.chromium.told:
            params = message["params"]
            if message["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif message["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(json.dumps(params["args"]))
            elif message["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return [one for one in found if not any(text in one for text in but)]

    def urls(self) -> list[str]:
        """What was asked for since the page was opened, its WebSockets, too."""
        found: list[str] = self.evaluate(
            "[location.href, ...performance.getEntriesByType('resource').map((one) => one.name),"
            " ...(window.sockets ?? [])]"
        )
        return found

    @contextmanager
    def watched(self) -> Iterator[list[float]]:
        """Gives, at the end, the milliseconds of CPU that each task of the page's own thread took meanwhile:
        of its script, styles and layout, whatever else the machine had to do."""
        found: list[float] = []
        told = self.chromium.told
        told[:] = [message for message in told if not message["method"].startswith("Tracing.")]
        self.chromium.ask_browser(
            "Tracing.start",
            transferMode="ReportEvents",
            traceConfig={
                "includedCategories": ["disabled-by-default-devtools.timeline"],
                "excludedCategories": ["*"],
            },
        )
        yield found
        self.chromium.ask_browser("Tracing.end")
        self.chromium.wait_told("Tracing.tracingComplete")
        events = [
            event
            for message in told
            if message["method"] == "Tracing.dataCollected"
            for event in message["params"]["value"]
        ]
        threads = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        found += [
            event["tdur"] / 1000
            for event in events
            if event["name"] == "RunTask" and "tdur" in event and (event["pid"], event["tid"]) in threads
        ]

    def screenshot(self, path: Path) -> None:
        shot = self.chromium.ask("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        path.write_bytes(base64.b64decode(shot["data"]))

    def stop(self) -> None:
        self.chromium.stop()

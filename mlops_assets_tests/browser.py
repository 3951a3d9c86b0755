"""A headless Chromium for tests, driven over its DevTools protocol.

Put here opening pages, waiting for text and taking pictures. Keep out assertions.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from websockets.sync.client import connect

from mlops_assets.demo.waiting import QUIET_SECONDS, wait_for_process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def require_chromium() -> str:
    """The program's path; skips the test, saying why, where there is none, and fails where one is demanded."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is not None:
        return program
    reason = "no Chromium is installed: install it (Debian: chromium) to run the browser tests"
    if "chromium" in os.environ.get("MLOPS_ASSETS_TEST_REQUIRE", ""):
        pytest.fail(reason)
    pytest.skip(reason)


class Page:
    """One browser tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One DevTools command and its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=QUIET_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str, *, width: int = 1600, height: int = 1000) -> None:
        """Open an address in a window of that size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.enable")
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:  # noqa: ANN401  whatever the script gives
        """The value of a JavaScript expression; of a promise, what it promises; an exception is a failed test."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def text(self) -> str:
        """All text that the page shows."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, *texts: str) -> str:
        """Wait until the page shows all of these, as long as what it shows changes; gives its text."""
        return wait_until(
            lambda shown: all(text in shown for text in texts),
            self.text,
            what=f"A page with {texts}",
            remedy="Is it the right page?",
        )

    def settle(self) -> None:
        """Wait until the page looks the same at two looks, two seconds apart."""
        before, now = "", self._look()
        while now != before:
            time.sleep(2)
            before, now = now, self._look()

    def _look(self, **options: object) -> str:
        return str(self.call("Page.captureScreenshot", format="png", **options)["data"])

    def picture(self, file: Path, *, clip: tuple[int, int, int, int] | None = None) -> None:
        """Save what the window shows as a PNG, or of it the part of that left edge, top, width and height."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = (
            {}
            if clip is None
            else {"clip": {**dict(zip(("x", "y", "width", "height"), clip, strict=True)), "scale": 1}}
        )
        file.write_bytes(base64.b64decode(self._look(**part)))


@contextmanager
def browser_page(*flags: str) -> Iterator[Page]:
    """A tab of a fresh browser with those flags beside the usual ones, ended at the end."""
    program = require_chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "printed.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [program, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"], stdout=out, stderr=out
            )
        tabs: list[str] = []

        def opened() -> bool:
            nonlocal tabs
            port = Path(profile) / "DevToolsActivePort"
            if port.exists() and (lines := port.read_text(encoding="utf-8").splitlines()):
                answer = httpx.get(f"http://127.0.0.1:{lines[0]}/json", timeout=60).json()
                tabs = [tab["webSocketDebuggerUrl"] for tab in answer if tab["type"] == "page"]
            return bool(tabs)

        try:
            wait_for_process(opened, process, name=program, log=log)
            with connect(tabs[0], max_size=None, open_timeout=60) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            process.wait()

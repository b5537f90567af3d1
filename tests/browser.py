"""Headless Chromium, driven over the pipe of its DevTools protocol (`--remote-debugging-pipe`)."""

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any


class Browser:
    """One tab of `width` × 900 pixels. `log` has what pages log as errors, `requests` the URLs that they ask for.

    with Browser(tmp_path, width=390) as browser:
        browser.open("http://127.0.0.1:7860")
        browser.wait("document.querySelector('.card')")
    """

    def __init__(self, folder: Path, width: int) -> None:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        flags += [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
        (read, to_write), (to_read, write) = os.pipe(), os.pipe()
        # Chromium reads commands from descriptor 3 and writes to 4. `sh` knows no descriptor above 9.
        command = ["bash", "-c", f'exec 3<&{read} 4>&{write}; exec chromium "$@" 2>/dev/null', "bash", *flags]
        self._process = subprocess.Popen(command, pass_fds=(read, write))
        os.close(read)
        os.close(write)
        self._commands, self._answers = os.fdopen(to_write, "wb", 0), os.fdopen(to_read, "rb")
        self._rest, self._number, self._session = b"", 0, ""
        self.log: list[str] = []
        self.requests: list[str] = []
        self._width = width

    def __enter__(self) -> "Browser":
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        screen = {"width": self._width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **screen)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._commands.close()
        self._answers.close()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Events that come before it are recorded."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        command |= {"sessionId": self._session} if self._session else {}
        self._commands.write(json.dumps(command).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._record(answer.get("method", ""), answer.get("params", {}))
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = self._answers.read1(1 << 20)
            assert chunk, "Chromium ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _record(self, event: str, facts: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        if event == "Runtime.exceptionThrown" or (event == "Runtime.consoleAPICalled" and facts["type"] == "error"):
            self.log.append(json.dumps(facts))
        if event == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.log.append(json.dumps(facts))

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is truthy."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({condition})"):
            assert time.monotonic() < end, (condition[:500], self.log, self.run("document.body.innerText")[:500])
            time.sleep(0.02)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

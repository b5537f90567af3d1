"""A teacher over HTTP without a model: recorded answers in the OpenAI protocol, with faults.

with TeacherServer({"What is 2 + 2?": "2 + 2 = 4.\\nThe answer is 4"}) as server:
    main(["annotate", "--base-url", server.url, …])

The last message of a request has the question of its answer. Each chat request takes one of `faults`, or None.
`python tests/teacher_server.py 0.2` serves one answer to everything with a latency of 0.2 seconds, until stdin ends.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Any

from aiohttp import web


MODEL = "replay"
KEY = "sk-mustNeverBeSeen-0123456789"
NO_TEMPLATE = "default chat template is no longer allowed, so you must provide a chat template"
_ERRORS = {"400": NO_TEMPLATE, "401": f"Incorrect API key provided: {KEY}", "404": "Not Found", "422": "unprocessable"}
_BODIES = {"empty": '{"choices": []}', "null": "null", "list": "[1]", "text": '"text"', "message": '{"choices": [{}]}'}


class TeacherServer:
    """The server, in a thread of its own. `latency` is in seconds; more than `most` requests at once get a 429.

    It says nothing at all if it `is_silent`, resets connections while it `is_down`, fails at the question `broken`.
    """

    def __init__(
        self,
        answers: Mapping[str, str],
        faults: Iterable[str | None] = (),
        *,
        latency: float = 0.0,
        most: int = sys.maxsize,
        key: str = "",
        broken: str = "no question",
        is_silent: bool = False,
    ) -> None:
        self.answers, self.faults, self.latency, self.most, self.key = answers, iter(faults), latency, most, key
        self.broken, self.is_silent, self.is_down = broken, is_silent, False
        self.requests: list[dict[str, Any]] = []  # the bodies
        self.moments: list[tuple[float, int]] = []  # of each request, and the status of its response
        self.tokens: Counter[str] = Counter()  # of the answers that were generated
        self.in_flight = self.most_in_flight = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "TeacherServer":
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.add_routes([web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._chat)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://127.0.0.1:{1}/v1".format(*runner.addresses[0])
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        await asyncio.sleep(60 * self.is_silent)
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            request.transport.abort()  # type: ignore[union-attr]
        body = json.loads(await request.read())
        self.requests.append(body)
        arrived, fault = time.monotonic(), next(self.faults, None)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            await asyncio.sleep(self.latency)
            response = await self._respond(request, body, "429" if self.in_flight > self.most else fault)
        finally:
            self.in_flight -= 1
        self.moments.append((arrived, response.status))
        return response

    async def _respond(self, request: web.Request, body: dict[str, Any], fault: str | None) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            fault = "401"
        if self.broken in body["messages"][-1]["content"]:
            fault = "500"
        if body["model"] != MODEL:
            fault = "404"
        if fault and fault[:3].isdigit():
            status, _, kind = fault.partition("-")
            waits = {"after": "0.3", "date": formatdate(time.time() + 2, usegmt=True), "long": "86400", "quota": ""}
            headers = {"Retry-After": waits[kind]} if kind else {}
            code = "insufficient_quota" if kind == "quota" else None
            error = {"error": {"message": _ERRORS.get(status, "not now"), "code": code}}
            return web.json_response(error, status=int(status), headers=headers)
        if fault in _BODIES:
            return web.Response(text=_BODIES[fault], content_type="application/json")
        if fault == "html":
            return web.Response(text="<html><script>alert(1)</script></html>", content_type="text/html")
        if fault in ("hang", "drop"):
            await asyncio.sleep(60 * (fault == "hang"))
            request.transport.abort()  # type: ignore[union-attr]
        text = json.dumps(self.completion(body, fault or ""))
        if fault == "half":
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Length": str(len(text))})
            await response.prepare(request)
            await response.write(text[: len(text) // 2].encode())
            request.transport.close()  # type: ignore[union-attr]
            return response
        return web.Response(text=text, content_type="application/json")

    def completion(self, body: dict[str, Any], fault: str = "") -> dict[str, Any]:
        asked = body["messages"][-1]["content"]
        text = self.answers.get(asked) or next((a for question, a in self.answers.items() if question in asked), "")
        refusal, reason = ("I cannot help with that.", "stop") if fault == "refuse" else (None, "stop")
        if fault == "length":
            text, reason = text[: len(text) // 2], "length"
        message = {"role": "assistant", "content": None if refusal else text, "refusal": refusal}
        usage = {"prompt_tokens": len(json.dumps(body["messages"])), "completion_tokens": len(text.split())}
        self.tokens.update(usage)
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        return {"choices": choices, "usage": None if fault == "usage" else usage}


if __name__ == "__main__":
    with TeacherServer({"": "2 + 2 = 4.\nThe answer is 4"}, latency=float(sys.argv[1])) as teacher:
        print(teacher.url, flush=True)
        sys.stdin.read()

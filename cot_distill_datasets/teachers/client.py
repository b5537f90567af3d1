"""One request to an OpenAI-compatible server, and what each kind of failure means.

The `openai` client sends it. Its own retries are off: they know neither the other requests in flight nor the limit of
the cost. The API key comes from OPENAI_API_KEY and is removed from everything that a server says.
"""

import asyncio
import math
import os
import time
from email.utils import parsedate_to_datetime
from typing import NoReturn

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI

from ..errors import CotDistillError, nearest
from ..sources.generated import Answer
from ..templates import printable
from .requests import Completion, Request


_KEY = "OPENAI_API_KEY"
_RETRIED = (408, 409, 425, 429)  # and every 5xx
_START_SECONDS = 20.0  # within which a server must accept a connection and say something
_KEPT_SECONDS = 2.0  # that an idle connection is kept; uvicorn, and so vLLM, closes it after 5
_MESSAGE_LENGTH = 300
# What is raised for a response that is not HTTP or not JSON.
_UNREADABLE = (openai.OpenAIError, aiohttp.ClientError, ValueError, RecursionError)


class Retry(Exception):
    """A failure that may pass. `wait` is Retry-After in seconds; `lost`: the answer may have been billed."""

    def __init__(self, reason: str, *, wait: float | None = None, slow_down: bool = False, lost: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.slow_down, self.lost = wait, slow_down, lost


class Rejected(Exception):
    """The server rejects this request, such as a prompt that is longer than its context."""


class Client:
    """A server that speaks the OpenAI protocol.

    Raises CotDistillError if `base_url` is not an address, or the API key cannot be sent.
    """

    def __init__(self, base_url: str | None, timeout: float, concurrency: int) -> None:
        self._key = os.environ.get(_KEY, "").strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise CotDistillError(f"The environment variable {_KEY} has characters that no key has: set it again.")
        try:
            limits = httpx2.Limits(max_connections=concurrency, keepalive_expiry=_KEPT_SECONDS)
            self._client = AsyncOpenAI(
                api_key=self._key or "none",  # a server of one's own needs no key
                base_url=base_url,
                timeout=httpx2.Timeout(timeout, connect=_START_SECONDS),
                max_retries=0,
                # httpx2 looks at every connection for each request: 8 ms of a core at 512 connections, aiohttp 1 ms.
                http_client=openai.DefaultAioHttpClient(limits=limits),
            )
        except (openai.OpenAIError, ValueError, httpx2.InvalidURL) as error:
            raise CotDistillError(f"The client cannot be started: {self._clean(str(error))}.") from None
        url = self._client.base_url
        self.url = f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")  # without user and password
        if url.scheme not in ("http", "https") or not url.host:
            address = self._clean(base_url or os.environ["OPENAI_BASE_URL"])
            raise CotDistillError(f"{address!r} is not the address of a server, such as http://localhost:8000/v1.")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> None:
        """Ask for the list of models. Raises CotDistillError if no server answers, or it rejects the API key."""
        for wait in (1.0, None):
            try:
                await self._client.models.list(timeout=_START_SECONDS)
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                self._stop(error)
            except openai.APIConnectionError as error:
                if wait is not None:
                    await asyncio.sleep(wait)
                    continue
                if _is_silent(error):
                    raise CotDistillError(
                        f"No server answers at {self.url} ({self._clean(_reason(error))}): start it, for example "
                        "`vllm serve MODEL`, or correct `--base-url`."
                    ) from None
            except _UNREADABLE:
                pass  # not every server has this list
            return

    async def ask(self, request: Request) -> Answer:
        """Send a request once. Raises Retry, Rejected, or CotDistillError if no request of the plan can succeed."""
        begin = time.monotonic()
        try:
            response = await self._client.post("/chat/completions", cast_to=object, body=request.body)
        except openai.APIStatusError as error:
            await self._judge(error, request)
        except openai.APIConnectionError as error:
            raise Retry(self._clean(_reason(error)), lost=not _is_refused(error)) from None
        except _UNREADABLE as error:
            raise Retry(f"the response cannot be read: {self._clean(str(error))}", lost=True) from None
        completion = Completion.read(response)
        if completion is None:
            raise Retry("the response has no answer", lost=True)
        text, refusal = self._redact(completion.text), completion.refusal and self._redact(completion.refusal)
        return request.answer(completion._replace(text=text, refusal=refusal), time.monotonic() - begin)

    async def _judge(self, error: openai.APIStatusError, request: Request) -> NoReturn:
        """Raise what a status means for the request, or for the run."""
        status, said = error.status_code, self._said(error)
        if status == 401 or error.code == "insufficient_quota":
            self._stop(error)
        if status == 404:
            await self._stop_without_model(request.plan.model, said)
        if status in _RETRIED or status >= 500:
            wait = _retry_after(error.response.headers.get("retry-after"))
            raise Retry(f"error {status}: {said}", wait=wait, slow_down=status == 429)
        raise Rejected(f"the server rejects it (error {status}): {said}")

    def _stop(self, error: openai.APIStatusError) -> NoReturn:
        said = self._said(error)
        key = f"{_KEY} is {'set' if self._key else 'not set'}"
        raise CotDistillError(f"{self.url} denies access (error {error.status_code}, {key}): {said}") from None

    async def _stop_without_model(self, model: str, said: str) -> NoReturn:
        try:
            models = [other.id for other in (await self._client.models.list(timeout=_START_SECONDS)).data]
        except (*_UNREADABLE, TypeError, AttributeError):
            models = []
        if models and model not in models:
            raise CotDistillError(f"{self.url} has no model {model!r}: use {self._clean(nearest(model, models))}.")
        raise CotDistillError(
            f"{self.url} has no model {model!r} or no chat completions (error 404: {said}): correct `--model` or "
            "`--base-url`, which often ends in /v1."
        )

    def _said(self, error: openai.APIStatusError) -> str:
        """Return the server's own message, or the beginning of its page."""
        body = error.body
        if isinstance(body, dict):  # {"message": …}, or with a level `error` that the client does not remove
            body = body.get("message") or body.get("error") or body.get("detail") or body
        return self._clean(str(body or error.message))

    def _clean(self, text: str) -> str:
        """Return a message in one short line without the API key and without control characters."""
        line = " ".join(printable(self._redact(text)).split())
        return line if len(line) <= _MESSAGE_LENGTH else f"{line[:_MESSAGE_LENGTH]}…"

    def _redact(self, text: str) -> str:
        return text.replace(self._key, "[API key]") if self._key else text


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes. The client names every failed connection a time-out; the last cause is right."""
    return [error, *_chain(error.__cause__)] if error.__cause__ else [error]


def _reason(error: BaseException) -> str:
    cause = _chain(error)[-1]
    return str(cause) or type(cause).__name__


def _is_refused(error: BaseException) -> bool:
    """Whether there was no connection, so that nothing was sent."""
    return any(isinstance(cause, aiohttp.ClientConnectorError) for cause in _chain(error))


def _is_silent(error: BaseException) -> bool:
    return _is_refused(error) or any(isinstance(cause, aiohttp.ServerTimeoutError) for cause in _chain(error))


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, section 10.2.3); None without one."""
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value or "").timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None

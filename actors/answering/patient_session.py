"""Requests that fail alone.

Ray's HTTP stage ends the whole job where one request fails for good (500, a body that is no JSON, retries used up). It
takes a session of our own, whose requests are retried here, and always end in JSON: {"text": ..., "error": ...}, one of
both empty.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import aiohttp
from pydantic import BaseModel, Field, ValidationError
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_exponential

from toffee_pipeline.config.expand import HttpConfig
from toffee_pipeline.expansion.store import storable

TRIED_AGAIN = {408, 409, 425, 429}
"""And all of 500 and above."""
MAX_ERROR = 300
MAX_BODY_BYTES = 4 * 2**20
"""Of an answer; 100,000 tokens in JSON, the most that may be asked for, are less. Memory holds `max_in_flight` of
them."""
READ_BYTES = 2**16


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


class _TryAgain(Exception):
    """What may go well another time, in words."""


class PatientSession:
    """In place of an `aiohttp.ClientSession`, as far as Ray's stage uses one."""

    def __init__(self, server: HttpConfig) -> None:
        self._server = server
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=server.timeout_s))

    async def __aenter__(self) -> PatientSession:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    def post(self, url: str, *, headers: dict[str, str], data: str) -> asyncio.Task[_Response]:
        """A request that is on its way at once, so that all of a batch are."""
        return asyncio.create_task(self._post(url, headers, data))

    async def _post(self, url: str, headers: dict[str, str], data: str) -> _Response:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._server.max_retries + 1),
            wait=wait_exponential(multiplier=self._server.retry_wait_s),
            retry=retry_if_exception_type(_TryAgain),
        )
        try:
            return _Response(*await attempts(self._once, url, headers, data))
        except RetryError as error:
            return _Response("", str(error.last_attempt.exception()))

    async def _once(self, url: str, headers: dict[str, str], data: str) -> tuple[str, str]:
        """Text and error of one request. Raises _TryAgain."""
        key = headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            async with self._session.post(url, headers=headers, data=data) as response:
                body = await _start_of(response)
        except TimeoutError as error:
            raise _TryAgain(f"no answer in {self._server.timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise _TryAgain(_short(f"{type(error).__name__}: {error}", key)) from error
        if response.status != 200:
            problem = _short(f"HTTP {response.status}: {body.decode(errors='replace')}", key)
            if response.status in TRIED_AGAIN or response.status >= 500:
                raise _TryAgain(problem)
            return "", problem
        if len(body) > MAX_BODY_BYTES:
            return "", f"an answer of more than {MAX_BODY_BYTES} bytes"
        try:
            message = _Completion.model_validate_json(body).choices[0].message
        except ValidationError:
            return "", _short(f"no chat completion: {body.decode(errors='replace')}", key)
        text = message.content or message.refusal
        return (storable(text), "") if text else ("", "an empty answer")


class _Response:
    """What Ray's stage asks of a response."""

    status = 200

    def __init__(self, text: str, error: str) -> None:
        self._text, self._error = text, error

    async def __aenter__(self) -> _Response:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def json(self) -> dict[str, Any]:
        return {"text": self._text, "error": self._error}


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """The body; of one above `MAX_BODY_BYTES` a little more than these, so that a server without an end takes no
    memory."""
    body = bytearray()
    async for part in response.content.iter_chunked(READ_BYTES):
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _short(text: str, key: str) -> str:
    """For a ledger. key: of the server, which may repeat it in its words; "" where there is none."""
    if key:
        text = text.replace(key, "***")
    return storable(" ".join(text.split())[:MAX_ERROR])

"""Around every request: who may ask, what is logged, and an answer whatever happens."""

import asyncio
import contextlib
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from knowbound.product.serving.refusal import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
OPEN = ("/", "/docs", "/healthz", "/readyz", "/openapi.json")
"""Asked for without a token: nothing of the model or of a picture is in them."""
GUARDED = ("/v1/predict", "/v1/models", "/metrics")
OTHER = "other"
"""In metrics, every path that there is not: a client must not choose names that are counted."""
STATE = "knowbound"
"""Key of the scope under which a request's ``Seen`` is."""
DRAINED = 64 * 1024**2
"""Bytes of a refused body that are read all the same, so that the client sees the answer."""
DRAIN_SECONDS = 2.0
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
logger = logging.getLogger("knowbound.serving")


@dataclass
class Seen:
    """What the log tells of a request, filled in on the way."""

    model: str = ""
    pictures: int = 0
    bytes: int = 0
    status: int = 0


class Access:
    """An ASGI application around another: checks the token and the origin, logs, counts.

    Args:
        app: what answers.
        token: that must be sent as ``Authorization: Bearer ...``, or None where anyone may ask.
        hosts: names under which it may be asked; None for every name.  Without a token a page of
            another site could lead here under a name of its own (DNS rebinding).
        log: takes one line of JSON for each request.
        answered: is told the path, the status and the seconds of each request.
        patience: seconds that a client may take to read its answer.
        header_bytes: of a request at most.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        hosts: frozenset[str] | None,
        log: Callable[[str], object],
        answered: Callable[[str, int, float], object],
        patience: float,
        header_bytes: int,
    ) -> None:
        self._app, self._token, self._hosts, self._log = app, token, hosts, log
        self._answered, self._patience = answered, patience
        self._header_bytes = header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.  Args as in ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, number = time.perf_counter(), secrets.token_hex(8)
        scope[STATE] = seen = Seen()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                headers = [*message["headers"], *ALWAYS, (b"x-request-id", number.encode())]
                message = {**message, "headers": headers}
            async with asyncio.timeout(self._patience):
                await send(message)

        try:
            try:
                self._check(scope)
            except Refusal:
                await drain(receive)
                raise
            await self._app(scope, receive, marked)
        except Refusal as refusal:
            await refuse(refusal, marked)
        except TimeoutError:  # the client does not read what it is sent
            seen.status = seen.status or 408
        except Exception:
            logger.exception("request %s failed", number)
            if not seen.status:
                await refuse(Refusal(500, "this request failed; the log says why"), marked)
        finally:
            taken = time.perf_counter() - began
            path = scope["path"] if scope["path"] in OPEN + GUARDED else OTHER
            self._answered(path, seen.status, taken)
            self._log(_line(scope, path, seen, number, taken))

    def _check(self, scope: Scope) -> None:
        """Raises Refusal for a request that another site's page sent, or one without the token."""
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._header_bytes:
            raise Refusal(
                431, f"the headers have more than {self._header_bytes} bytes; send less", close=True
            )
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin", "")
        if origin and origin.partition("://")[2] != headers.get(b"host", ""):
            raise Refusal(403, "this came from the page of another site; ask directly", close=True)
        if self._hosts is not None and _host_of(headers.get(b"host", "")) not in self._hosts:
            raise Refusal(
                403,
                "this was asked under a name that this service does not have; ask as localhost",
                close=True,
            )
        if self._token is None or scope["path"] in OPEN:
            return
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not right:
            raise Refusal(
                401, "the token is missing or wrong; send Authorization: Bearer TOKEN", close=True
            )


def _host_of(name: str) -> str:
    """A Host header without its port; an address of IPv6 keeps its brackets."""
    return re.sub(r":\d*$", "", name).lower()


async def refuse(refusal: Refusal, send: Send) -> None:
    """Send the sentence as JSON.

    Args:
        refusal: with the status.
        send: as in ASGI.
    """
    body = error_body(refusal.sentence)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    pairs = [
        (name.lower().encode(), value.encode())
        for name, value in {**headers, **refusal.headers()}.items()
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def drain(receive: Receive) -> None:
    """Read some of a body that is refused: a client that is still sending would not see why.

    Args:
        receive: as in ASGI.
    """
    left = DRAINED
    with contextlib.suppress(Exception):
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return


def error_body(sentence: str) -> bytes:
    """The JSON of every answer without verdicts."""
    return json.dumps({"error": sentence}).encode()


def _line(scope: Scope, path: str, seen: Seen, number: str, taken: float) -> str:
    """One line of JSON; neither contents nor names of pictures are in it."""
    client = scope.get("client")
    return json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": number,
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": path,
            "status": seen.status,
            "model": seen.model or None,
            "pictures": seen.pictures,
            "bytes": seen.bytes,
            "milliseconds": round(1000 * taken, 1),
        }
    )

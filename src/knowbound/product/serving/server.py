"""The socket, the process and its signals.  The only importer of uvicorn."""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowbound.errors import UserError
from knowbound.product.any_model import Model, load_model
from knowbound.product.serving.access import Access, error_body
from knowbound.product.serving.app import make_app
from knowbound.product.serving.kept import keeping
from knowbound.product.serving.metrics import Metrics
from knowbound.product.serving.models import Models
from knowbound.product.serving.refusal import RETRY_AFTER
from knowbound.product.serving.service import Service
from knowbound.product.serving.settings import MIB, Limits

IDLE_SECONDS = 5
"""That a connection may stay open between two requests."""
SHORTEST_TOKEN = 16
"""Characters."""


@dataclass(frozen=True)
class Settings:
    """How a service is run.

    Args:
        host: to listen on.
        port: 0 for any that is free.
        token: that every request must bring; None where only this machine may ask.
        reload_seconds: between two looks for a new model on disk; 0 for none.
        keep: folder for rejected pictures, or None.
        keep_most: pictures in it.
        keep_bytes: of all pictures in it.
        limits: of what is taken.

    Raises:
        UserError: no token, or a short one, though others than this machine may ask.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    reload_seconds: float = 2.0
    keep: Path | None = None
    keep_most: int = 10_000
    keep_bytes: int = 1024 * MIB
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise UserError(
                f"--host {self.host} lets other machines ask, and there is no token; give one with "
                "--token-file FILE or in the variable KNOWBOUND_TOKEN, or leave --host out"
            )
        if self.token is not None and not self._is_usable(self.token):
            raise UserError(
                f"a token of {len(self.token)} characters was given; expected at least "
                f"{SHORTEST_TOKEN} without a space, such as `openssl rand -hex 32` gives"
            )

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which this machine asks itself."""
        return frozenset({"localhost", "127.0.0.1", "[::1]", self.host, f"[{self.host}]"})

    @staticmethod
    def _is_usable(token: str) -> bool:
        return len(token) >= SHORTEST_TOKEN and token.isascii() and not any(map(str.isspace, token))


def is_loopback(host: str) -> bool:
    """Whether what listens there is asked by this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """A service that listens.

    Args:
        paths: of the models by name; the first is asked where no name is given.
        settings: how it is run.
        log: takes one line of JSON for each request.
        load: the model at a path.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        settings: Settings,
        *,
        log: Callable[[str], object] = lambda line: None,
        load: Callable[[Path], Model] = load_model,
    ) -> None:
        self.paths, self.settings, self._log = dict(paths), settings, log
        self._load = load
        self._running: Any = None

    def run(self, on_start: Callable[[str], object] = lambda url: None) -> None:
        """Serve until SIGINT, SIGTERM or ``stop``; then answer what was taken.

        Args:
            on_start: is told the address once pictures would be judged.

        Raises:
            UserError: a package is missing, a model cannot be used, the address cannot be listened
                on, or the folder for rejected pictures is in use.
        """
        uvicorn, protocol = _uvicorn(self.settings.limits)
        metrics, limits = Metrics(), self.settings.limits
        with (
            _listening(self.settings.host, self.settings.port) as listener,
            keeping(
                self.settings.keep,
                most=self.settings.keep_most,
                most_bytes=self.settings.keep_bytes,
                on_kept=metrics.kept,
            ) as kept,
        ):
            models = Models(self.paths, limits, metrics, self._load)
            service = Service(models, limits, metrics, kept)
            app = Access(
                make_app(service, reload_seconds=self.settings.reload_seconds),
                token=self.settings.token,
                hosts=None if self.settings.token else self.settings.hosts,
                log=self._log,
                answered=metrics.answered,
                patience=limits.seconds,
                header_bytes=limits.header_bytes,
            )
            config = uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=round(limits.seconds) + 1,
                h11_max_incomplete_event_size=limits.header_bytes,
            )
            logging.getLogger("uvicorn").setLevel(logging.ERROR)
            self._running = uvicorn.Server(config)
            with _calm_signals(), _told(self._running, listener, on_start):
                asyncio.run(self._running.serve([listener]))

    def stop(self) -> None:
        """End ``run`` from another thread."""
        if self._running is not None:
            self._running.should_exit = True


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound before anything is loaded: a taken port is found out at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        said = (error.strerror if isinstance(error, OSError) else "") or str(error)
        reason = said.partition(" (while")[0].lower()  # Python adds the address again
        raise UserError(
            f"the address {host}:{port} cannot be listened on ({reason}); give another --port or "
            "--host"
        ) from error
    with found:
        yield found


@contextlib.contextmanager
def _calm_signals() -> Iterator[None]:
    """A block after which SIGINT or SIGTERM has no further effect: uvicorn ends well on either and
    then raises it again, which would end the process before its exit code 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    both = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, frame: None) for one in both}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextlib.contextmanager
def _told(
    server: Any, listener: socket.socket, on_start: Callable[[str], object]
) -> Iterator[None]:
    """A block in which ``on_start`` is called as soon as the server accepts connections."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    ended = threading.Event()

    def wait() -> None:
        while not server.started and not ended.wait(0.01):
            pass
        if server.started:
            on_start(f"http://{shown}:{port}")

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        ended.set()
        waiting.join()


def _uvicorn(limits: Limits) -> tuple[Any, type[asyncio.Protocol]]:
    """uvicorn, and its HTTP/1.1 with a bound on connections and on the time a header takes."""
    try:
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol
    except ImportError as error:
        raise UserError(
            "serving needs uvicorn, which is not installed; pip install 'knowbound[serve]'"
        ) from error

    class Bounded(H11Protocol):
        """Ends a connection on which no request begins for too long, and one too many."""

        impatience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._end(503, "Service Unavailable", "too many connections; ask again")
            else:
                self._wait_for_a_request()

        def data_received(self, data: bytes) -> None:
            try:
                super().data_received(data)
            except Exception:  # what h11 or its caller does not take for HTTP
                self.transport.close()
            self._wait_for_a_request()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait_for_a_request()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait_for_a_request(self) -> None:
            if self.transport.is_closing() or (self.cycle and not self.cycle.response_complete):
                self._stop_waiting()
            elif self.impatience is None:
                self.impatience = self.loop.call_later(limits.header_seconds, self._too_slow)

        def _stop_waiting(self) -> None:
            if self.impatience is not None:
                self.impatience.cancel()
                self.impatience = None

        def _too_slow(self) -> None:
            self.impatience = None
            self._end(408, "Request Timeout", "no whole request came in time; send it again")

        def _end(self, status: int, reason: str, sentence: str) -> None:
            body = error_body(sentence)
            head = (
                f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nretry-after: {RETRY_AFTER}\r\n"
                "connection: close\r\n\r\n"
            )
            if not self.transport.is_closing():
                self.transport.write(head.encode() + body)
                self.transport.close()

    return uvicorn, Bounded

"""A service in a thread, pictures to send to it, and models that answer as the test wants."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.judgement import Judgement, Verdict, verdicts
from knowbound.product.any_model import load_model
from knowbound.product.serving.server import Server, Settings

BOUNDARY = "a boundary of no picture"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


class Running(NamedTuple):
    """A service that runs."""

    port: int
    server: Server
    lines: list[dict[str, Any]]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def predict(self, *pictures: tuple[str, bytes], query: str = "", **headers: str) -> Answer:
        kind = f'multipart/form-data; boundary="{BOUNDARY}"'
        body = form(pictures)
        return self.ask("POST", f"/v1/predict{query}", body, Content_Type=kind, **headers)

    def metric(self, line: str) -> float:
        found = [one for one in self.metrics().splitlines() if one.startswith(f"{line} ")]
        return float(found[0].split()[-1]) if found else 0.0

    def metrics(self) -> str:
        return self.ask("GET", "/metrics").body.decode()


@contextmanager
def running(
    paths: dict[str, Path], settings: Settings, load: Callable[[Path], Any] = load_model
) -> Iterator[Running]:
    """A service on a free port, to its end."""
    lines: list[dict[str, Any]] = []
    server = Server(paths, settings, log=lambda line: lines.append(json.loads(line)), load=load)
    urls: list[str] = []
    started, failures = threading.Event(), []

    def run() -> None:
        try:
            server.run(lambda url: (urls.append(url), started.set()))
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(60)
    try:
        if failures:
            raise failures[0]
        yield Running(int(urls[0].rsplit(":", 1)[1]), server, lines)
    finally:
        server.stop()
        thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def form(pictures: Sequence[tuple[str, bytes]]) -> bytes:
    """A body as a browser sends it."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in pictures
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W) or (1, H, W) as a file."""
    file = BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


class Shade:
    """Judges 4 x 4 grey images by their brightness: below 100 known, below 200 a novelty.

    Args:
        class_name: of its only class.
        before: called with every batch before it is judged.
    """

    def __init__(
        self, class_name: str = "dark", before: Callable[[int], object] = lambda size: None
    ) -> None:
        self.preprocessing, self.class_names = Preprocessing(4, 4, 1), (class_name,)
        self.before = before

    def judge(self, images: NDArray[np.uint8]) -> Judgement[Any]:
        self.before(len(images))
        score = images.reshape(len(images), -1).mean(axis=1)
        zeros = np.zeros(len(images), np.int64)
        decision = np.digitize(score, [100, 200])
        return Judgement(score[:, None], score, 1 - score / 256, score, zeros, decision)

    def verdicts(self, judgement: Judgement[Any]) -> list[Verdict]:
        return verdicts(judgement, [float("inf")] * len(judgement.score), self.class_names)


def shade(value: int) -> bytes:
    """A picture of one grey."""
    return png(np.full((4, 4), value, np.uint8))

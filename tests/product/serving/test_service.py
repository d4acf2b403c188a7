"""A whole service over its socket: answers, bounds, tokens, reloading and its end."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.files import replace_file
from knowbound.product.serving.server import Settings
from knowbound.product.serving.settings import Limits
from knowbound.workflows.predict import COLUMNS
from tests.product.serving.samples import Answer, Running, Shade, png, running, shade

LIMITS = Limits(
    max_wait=0.002,
    queue=40,
    pictures=20,
    request_bytes=200_000,
    pixels=10_000,
    seconds=2.0,
    header_seconds=1.0,
    connections=50,
)
TOKEN = "0123456789abcdef0123456789abcdef"


class Gate:
    """Holds a model's batches back while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def __call__(self, size: int) -> None:
        self.reached.set()
        self.open.wait(20)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Running]:
    """Two models that answer by brightness, named after what is in their file."""
    root = tmp_path_factory.mktemp("service")
    for name in ("first", "second"):
        (root / f"{name}.onnx").write_text(name)
    settings = Settings(port=0, limits=LIMITS, keep=root / "kept", reload_seconds=0.05)
    paths = {name: root / f"{name}.onnx" for name in ("first", "second")}
    with running(paths, settings, lambda path: Shade(path.read_text(), gate)) as found:
        yield found


def sentence(answer: Answer, status: int) -> str:
    assert answer.status == status, answer
    assert list(answer.said) == ["error"]
    assert "\n" not in answer.said["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return str(answer.said["error"])


def test_one_picture_as_the_body(service: Running) -> None:
    said = service.ask("POST", "/v1/predict?name=a.png", shade(50), Content_Type="image/png").said
    (row,) = said["verdicts"]
    assert (row["path"], row["verdict"], row["class"], row["score"]) == (
        "a.png",
        "known",
        "first",
        50,
    )
    assert row["threshold"] is None  # infinite: no number of JSON


def test_models_by_name(service: Running) -> None:
    assert service.predict(("a", shade(0)), query="?model=second").said["model"] == "second"
    assert "'first', 'second'" in sentence(service.predict(("a", shade(0)), query="?model=x"), 404)
    said = service.ask("GET", "/v1/models").said
    assert [one["name"] for one in said["models"]] == ["first", "second"]
    assert said["limits"]["pictures"] == LIMITS.pictures


def test_many_at_once_get_their_own_answers(service: Running) -> None:
    def ask(seed: int) -> bool:
        values = np.random.default_rng(seed).integers(0, 256, 3).tolist()
        answer = service.predict(*((str(value), shade(value)) for value in values))
        return [(row["path"], row["score"]) for row in answer.said["verdicts"]] == [
            (str(value), value) for value in values
        ]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))


def test_a_bad_picture_among_others_has_a_row_and_alone_is_422(service: Running) -> None:
    answer = service.predict(("a", shade(0)), ("b", b"no picture"))
    assert answer.status == 200
    assert [bool(row["error"]) for row in answer.said["verdicts"]] == [False, True]
    assert "not a picture" in sentence(service.predict(("b", b"no picture")), 422)
    large = png(np.zeros((101, 100), np.uint8))
    assert "10100 pixels" in sentence(service.predict(("large", large)), 422)
    assert "none of the 2" in sentence(service.predict(("a", b"x"), ("b", b"y")), 422)


def test_what_is_refused(service: Running) -> None:
    ask = service.ask
    sentence(ask("POST", "/v1/predict", b"", Content_Type="image/png"), 400)
    sentence(ask("POST", "/v1/predict", b"{}", Content_Type="application/json"), 415)
    sentence(ask("POST", "/v1/predict", b"x", Content_Encoding="gzip"), 415)
    sentence(ask("POST", "/v1/predict", b"x" * (LIMITS.request_bytes + 1)), 413)
    sentence(service.predict(*[("a", shade(0))] * (LIMITS.pictures + 1)), 413)
    sentence(ask("GET", "/v1/predict"), 405)
    sentence(ask("GET", "/../etc/passwd"), 404)
    sentence(service.predict(("a", shade(0)), Origin="http://elsewhere.example"), 403)
    rebound = {"Host": f"evil.example:{service.port}"}
    sentence(service.predict(("a", shade(0)), **rebound), 403)
    sentence(service.ask("GET", "/v1/models", **rebound), 403)
    assert service.ask("GET", "/v1/models", Host=f"localhost:{service.port}").status == 200
    same = f"http://127.0.0.1:{service.port}"
    assert service.predict(("a", shade(0)), Origin=same).status == 200


def test_a_busy_service_says_so_and_recovers(service: Running, gate: Gate) -> None:
    gate.reached.clear()
    gate.open.clear()
    pictures = [("a", shade(0))] * LIMITS.pictures
    try:
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(service.predict, *pictures) for _ in range(2)]
            gate.reached.wait(10)
            while service.metric("knowbound_waiting_pictures") < LIMITS.queue:
                time.sleep(0.01)
            answer = service.predict(("a", shade(0)))
            assert "busy" in sentence(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
            assert service.ask("GET", "/healthz").status == 200
            gate.open.set()
            assert {one.result().status for one in waiting} == {200}
    finally:
        gate.open.set()
    assert service.predict(("a", shade(0))).status == 200
    assert service.metric("knowbound_waiting_pictures") == 0


def test_what_is_counted(service: Running) -> None:
    before = service.metrics()
    service.predict(("a", shade(0)), ("b", shade(150)), ("c", shade(250)), ("d", b"x"))
    after = service.metrics()

    def grown(line: str) -> float:
        values = [
            float(next((one for one in text.splitlines() if one.startswith(line)), "0").split()[-1])
            for text in (before, after)
        ]
        return values[1] - values[0]

    for verdict in ("known", "novelty", "anomaly", "error"):
        line = f'knowbound_pictures_total{{model="first",verdict="{verdict}"}}'
        assert grown(line) == 1, verdict
    # p-values of 1, 1 - 150 / 256 and 1 - 250 / 256
    for bound, below in (("0.05", 1), ("0.4", 1), ("0.45", 2), ("1.0", 3)):
        assert grown(f'knowbound_p_value_bucket{{le="{bound}",model="first"}}') == below
    assert grown('knowbound_requests_total{path="/v1/predict",status="200"}') == 1
    assert grown('knowbound_batch_pictures_sum{model="first"}') == 3


def last_lines(service: Running) -> list[dict[str, Any]]:
    """The log, newest first; a line is written after its answer was sent."""
    service.ask("GET", "/healthz")
    until = time.monotonic() + 10
    while service.lines[-1]["path"] != "/healthz" and time.monotonic() < until:
        time.sleep(0.01)
    return service.lines[::-1]


def test_a_line_for_each_request_without_names_or_contents(service: Running) -> None:
    service.predict(("secret-name.png", shade(150)))
    line = next(one for one in last_lines(service) if one["path"] == "/v1/predict")
    assert (line["status"], line["model"], line["pictures"]) == (200, "first", 1)
    service.ask("GET", "/secret-path")
    assert "secret" not in json.dumps(last_lines(service))


def test_rejected_pictures_are_kept(service: Running) -> None:
    folder = Path(str(service.server.settings.keep))
    kept = shade(177)
    assert service.predict(("a", kept), ("b", shade(7))).status == 200
    until = time.monotonic() + 10
    found: list[bytes] = []
    while time.monotonic() < until and kept not in found:
        found = [path.read_bytes() for path in (folder / "novelty").glob("*.png")]
    assert kept in found
    assert shade(7) not in found


def test_a_new_model_takes_over_without_a_lost_request(service: Running) -> None:
    path, counts = service.server.paths["second"], {"second": 0, "newer one": 0}
    until = time.monotonic() + 10
    with ThreadPoolExecutor(4) as pool:

        def ask(_: int) -> str:
            answer = service.predict(("a", shade(0)), query="?model=second")
            assert answer.status == 200
            return str(answer.said["verdicts"][0]["class"])

        while time.monotonic() < until and not counts["newer one"]:
            for name in pool.map(ask, range(20)):
                counts[name] += 1
            replace_file(path, b"newer one")  # at once: a model is never read half written
    assert all(counts.values())


def test_slow_clients_end_and_others_do_not_wait(service: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with (
        socket.create_connection(("127.0.0.1", service.port)) as header,
        socket.create_connection(("127.0.0.1", service.port)) as body,
    ):
        header.sendall(head)
        body.sendall(head + b"Content-Length: 100\r\n\r\nx")
        assert service.predict(("a", shade(0))).status == 200
        header.settimeout(10)
        body.settimeout(10)
        assert b"408" in header.recv(1000)
        assert b"408" in body.recv(1000)


def test_huge_headers_and_too_many_connections(service: Running) -> None:
    assert "16384" in sentence(service.ask("GET", "/healthz", X_Large="x" * 20_000), 431)
    address = ("127.0.0.1", service.port)
    many = [socket.create_connection(address) for _ in range(LIMITS.connections + 5)]
    try:
        assert service.ask("GET", "/healthz").status == 503
    finally:
        for one in many:
            one.close()
    until = time.monotonic() + 10
    while service.ask("GET", "/healthz").status != 200 and time.monotonic() < until:
        time.sleep(0.02)
    assert service.ask("GET", "/healthz").status == 200


def test_the_pages_need_no_network(service: Running) -> None:
    for path in ("/", "/docs"):
        answer = service.ask("GET", path)
        text = answer.body.decode()
        assert answer.status == 200
        assert not [word for word in ("https://", "http://", "//cdn") if word in text], path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    described = service.ask("GET", "/openapi.json").said
    responses = described["paths"]["/v1/predict"]["post"]["responses"]
    row = responses["200"]["content"]["application/json"]["schema"]["properties"]["verdicts"]
    assert tuple(row["items"]["properties"]) == COLUMNS
    assert "503" in responses
    assert "POST /v1/predict" in service.ask("GET", "/docs").body.decode()


def test_a_token_is_asked_for_and_the_end_answers_what_was_taken(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("m")
    gate = Gate()
    settings = Settings(port=0, token=TOKEN)
    with running({"m": tmp_path / "m.onnx"}, settings, lambda _: Shade("m", gate)) as found:
        for path in ("/v1/predict", "/v1/models", "/metrics", "/nowhere"):
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
                answer = found.ask("POST", path, shade(0), **given)
                assert "token" in sentence(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        large = b"x" * 20_000_000  # whoever is still sending must see why
        assert "token" in sentence(found.ask("POST", "/v1/predict", large), 401)
        for path in ("/", "/docs", "/healthz", "/readyz", "/openapi.json"):
            assert found.ask("GET", path).status == 200
        right = {"Authorization": f"Bearer {TOKEN}"}
        gate.reached.clear()
        gate.open.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(found.ask, "POST", "/v1/predict", shade(0), **right)
            gate.reached.wait(10)
            found.server.stop()
            time.sleep(0.3)
            gate.open.set()
            assert waiting.result(10).status == 200

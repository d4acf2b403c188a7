"""The service: pictures per second against the bare model, waiting times at half of what it can,
memory under load, and how long one picture takes from a cold start.

python -m benchmarks.bench_service [--quick]

The clients share the machine's cores with the service, as nothing else can be had here.
"""

import http.client
import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bench_startup import run
from benchmarks.service import CLI, Service, serving, write_model
from benchmarks.timing import heading, line, medians, quick, seconds
from knowbound.product.onnx_model import ExportedModel

PARCEL = 64
"""Pictures of one large request."""
CLIENTS = 4
SECONDS = 20.0
MINUTES = 3.0
"""Under load, while memory is looked at."""
BOUNDARY = b"knowbound-bench"


def pictures(count: int) -> list[bytes]:
    """PNGs of 32 x 32 in colour."""
    found = []
    for image in np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        found.append(file.getvalue())
    return found


def form(contents: list[bytes]) -> bytes:
    """They as the files of one body."""
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n%s\r\n'
        % (BOUNDARY, one)
        for one in contents
    ]
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY


class Client:
    """A connection that stays open.

    Args:
        port: of the service.
        body: of every request.
    """

    def __init__(self, port: int, body: bytes) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.body = body
        several = body.startswith(b"--" + BOUNDARY)
        kind = f"multipart/form-data; boundary={BOUNDARY.decode()}" if several else "image/png"
        self.headers = {"Content-Type": kind}

    def ask(self) -> int:
        """The status of one answer."""
        self.connection.request("POST", "/v1/predict", self.body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def answered(port: int, body: bytes, clients: int, duration: float) -> float:
    """Requests answered with verdicts per second, each client asking as soon as it has an
    answer."""
    until = time.perf_counter() + duration

    def keep_asking(_: int) -> int:
        client, done = Client(port, body), 0
        while time.perf_counter() < until:
            done += client.ask() == 200
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        total = sum(pool.map(keep_asking, range(clients)))
    return total / (time.perf_counter() - began)


def bare(model: ExportedModel, images: np.ndarray, duration: float) -> float:
    """Images per second of the model alone, on images that are decoded."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < duration:
        model.judge(images)
        done += len(images)
    return done / (time.perf_counter() - began)


def cpu_per_image(model: ExportedModel, images: np.ndarray, duration: float) -> float:
    """Seconds that all threads compute for one image of the model alone: a busy machine changes
    them little."""
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < duration:
        model.judge(images)
        done += len(images)
    return (time.process_time() - cpu) / done


def waiting_times(port: int, body: bytes, rate: float, duration: float) -> list[float]:
    """Seconds from the moment a request was due to its answer, at random moments (Poisson).

    Args:
        port: of the service.
        body: of every request.
        rate: requests per second.
        duration: seconds.
    """
    rng = np.random.default_rng(0)
    moments = np.cumsum(rng.exponential(1 / rate, int(rate * duration)))
    clients = threading.local()
    began = time.perf_counter() + 0.1

    def ask(moment: float) -> float:
        if "client" not in vars(clients):
            clients.client = Client(port, body)
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        clients.client.ask()
        return time.perf_counter() - began - moment

    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(ask, moments))


def memory_under_load(service: Service, body: bytes, minutes: float) -> list[int]:
    """Bytes that are resident, ten times a minute or more often, while two clients ask."""
    looks: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(answered, service.port, body, 2, 60 * minutes)
        while not load.done():
            time.sleep(min(6.0, 6 * minutes))
            looks.append(service.memory())
    return looks


def growth(looks: list[int]) -> tuple[float, int, int]:
    """(Second half by first quarter's end, its MiB, the second half's): medians, so that one batch
    more or less does not count."""
    quarter = len(looks) // 4
    early = statistics.median(looks[quarter : 2 * quarter] or looks[:1])
    late = statistics.median(looks[-quarter:] or looks[-1:])
    return late / early, int(early) >> 20, int(late) >> 20


def in_turn(
    repeats: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[float, float]:
    """Medians of two rates that are measured in turn."""
    rates = [(first(), second()) for _ in range(repeats)]
    return statistics.median(r for r, _ in rates), statistics.median(r for _, r in rates)


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    duration, repeats = (3.0, 1) if quickly else (SECONDS, 3)
    with tempfile.TemporaryDirectory() as name:
        path = write_model(Path(name))
        contents = pictures(PARCEL)
        model = ExportedModel.load(path)
        images = np.stack(
            [np.asarray(Image.open(io.BytesIO(one))).transpose(2, 0, 1) for one in contents]
        )
        model.judge(images)
        with serving(path) as service:
            many, one = form(contents), contents[0]
            answered(service.port, many, CLIENTS, 1.0)
            alone, served = in_turn(
                repeats,
                lambda: bare(model, images, duration / 2),
                lambda: PARCEL * answered(service.port, many, CLIENTS, duration / 2),
            )
            line(
                f"service, requests of {PARCEL} PNGs of 32 x 32 / bare model, WRN-16-2 through ONNX",
                served / alone,
                "at least 0.8",
                f"{served:,.0f} / {alone:,.0f} images/s",
            )
            cost = cpu_per_image(model, images, duration / 4)
            before = service.cpu()
            judged = PARCEL * answered(service.port, many, 2, duration / 2) * duration / 2
            service_cost = (service.cpu() - before) / judged
            line(
                "computing time per picture, bare model / service, decoding included",
                cost / service_cost,
                "at least 0.8",
                f"{1e3 * cost:.2f} ms / {1e3 * service_cost:.2f} ms",
            )
            singles = answered(service.port, one, 16, duration)
            line(
                "requests of one picture, 16 at a time / bare model",
                singles / alone,
                "",
                f"{singles:,.0f} / {alone:,.0f} images/s",
            )
            times = waiting_times(service.port, one, singles / 2, duration)
            p50, p99 = np.quantile(times, [0.5, 0.99])
            line(
                "p99 / median of an answer at half of that load",
                p99 / p50,
                "",
                f"{1000 * p99:.0f} ms / {1000 * p50:.0f} ms, {len(times)} requests",
            )
            minutes = 0.2 if quickly else MINUTES
            ratio, early, late = growth(memory_under_load(service, many, minutes))
            line(
                f"memory at the end / in the second quarter of {minutes:g} minutes under load",
                ratio,
                "at most 1.05",
                f"{late} MiB / {early} MiB",
            )
        picture = Path(name, "picture.png")
        picture.write_bytes(one)
        interpreter, cold = medians(
            repeats,
            lambda: run("-c", "pass"),
            lambda: run("-c", CLI, "predict", str(path), str(picture)),
        )
        before = os.times()
        run("-c", CLI, "predict", str(path), str(picture))
        after = os.times()
        computed = sum(after[2:4]) - sum(before[2:4])
        line(
            "`knowbound predict model.onnx` of one picture / a bare interpreter",
            cold / interpreter,
            "under 1 s",
            f"{seconds(cold, interpreter)}; {computed:.2f} s of it computing",
        )


if __name__ == "__main__":
    main(quick(__doc__))

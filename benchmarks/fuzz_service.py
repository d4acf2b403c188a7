"""What a service makes of 10,000 requests that nobody should send: random bytes, mutated pictures,
bombs, other types, broken forms and headers, slow clients and those that go.

python -m benchmarks.fuzz_service [--count 10000] [--seed 0]

Said at the end: answers by kind and status, memory and open files before and after.  Exit code 1
where an answer was 5xx but 503, a good picture got none, the process ended, or its log has a
traceback.
"""

import argparse
import io
import re
import socket
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.service import serving, write_model
from knowbound.data.pictures.picture_files import UnreadableImageError, read_image
from knowbound.data.preprocessing import Preprocessing

CLIENTS = 16
"""At one time."""
PATIENCE = 60.0
"""Seconds for an answer."""
LINE = b"\r\n"
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA", "DDS", "PCX")
SLOW = 0.05
"""Seconds between two bytes of a slow client."""


@dataclass(frozen=True)
class Attack:
    """Bytes that go through a connection."""

    kind: str
    parts: tuple[bytes, ...]
    pause: float = 0.0
    """Seconds between the parts."""
    stays: bool = True
    """Whether the client waits for an answer, else it goes."""
    is_good: bool = False
    """Whether it must be answered with verdicts."""


def request(body: bytes, *headers: bytes, kind: bytes = b"image/png", path: bytes = b"") -> bytes:
    """A whole request to /v1/predict."""
    lines = (
        b"POST /v1/predict" + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *headers,
    )
    return LINE.join(lines) + LINE + LINE + body


def form(rng: np.random.Generator, parts: list[bytes]) -> tuple[bytes, bytes]:
    """(body, Content-Type) of a form."""
    boundary = b"fuzz%d" % rng.integers(1 << 40)
    pieces = [
        b'--%s\r\nContent-Disposition: form-data; name="f"; filename="%d.png"\r\n\r\n%s\r\n'
        % (boundary, number, one)
        for number, one in enumerate(parts)
    ]
    return b"".join(pieces) + b"--%s--\r\n" % boundary, b"multipart/form-data; boundary=" + boundary


def picture(rng: np.random.Generator) -> bytes:
    """A good picture of a random kind, mode and size."""
    side = rng.integers(1, 60, 2)
    mode = str(rng.choice(["L", "RGB"]))
    shape = tuple(side) if mode == "L" else (*side, 3)
    image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, str(rng.choice(KINDS)))
    return file.getvalue()


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """The bytes with some changed, cut, doubled or inserted."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        at = int(rng.integers(len(changed) + 1))
        way = rng.integers(5)
        if way == 0:
            changed[at : at + 1] = rng.bytes(1)
        elif way == 1:
            changed[at : at + 4] = struct.pack(">I", int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])))
        elif way == 2:
            del changed[at : at + int(rng.integers(1, 40))]
        elif way == 3:
            changed[at:at] = changed[max(0, at - 30) : at]
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
    return bytes(changed)


def chunk(name: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, data: bytes, *between: bytes) -> bytes:
    """A PNG whose header says width x height, whatever its data are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *between,
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        )
    )


def small_bombs() -> list[bytes]:
    """A few bytes that announce much."""
    zeros = zlib.compress(bytes(1 << 16), 9)
    return [
        png(60_000, 60_000, zeros),
        png(2**31 - 1, 2**31 - 1, zeros),
        png(8, 8, zeros),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(200),
        b"BM"
        + struct.pack("<IIIIiiHHI", 100, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0)
        + bytes(99),
        b"P6\n999999999 999999999\n255\n" + bytes(99),
        b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65535) + bytes(2000),
    ]


def large_bombs() -> list[bytes]:
    """Files that hold much, packed well."""
    zeros = zlib.compress(bytes(6000 * 6001), 9)
    text = b"a\0\0" + zlib.compress(bytes(50_000_000), 9)
    frames = io.BytesIO()
    first, *rest = [Image.new("P", (8, 8), shade) for shade in range(250)] * 8
    first.save(frames, "GIF", save_all=True, append_images=rest)
    tiff = io.BytesIO()
    Image.new("L", (4000, 4000)).save(tiff, "TIFF", compression="tiff_deflate")
    progressive = io.BytesIO()
    Image.new("RGB", (5000, 5000)).save(progressive, "JPEG", progressive=True, quality=1)
    larger = bytearray(progressive.getvalue())
    start = larger.index(b"\xff\xc2") + 5
    larger[start : start + 4] = b"\xff\xff\xff\xff"
    return [
        png(6000, 6000, zeros),  # 36 million pixels: within the bound
        png(8, 8, zlib.compress(bytes(72)), chunk(b"zTXt", text)),
        frames.getvalue(),
        tiff.getvalue(),
        progressive.getvalue(),
        bytes(larger),
    ]


OTHERS = (
    b"",
    b"\0",
    b"{}",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    b"%PDF-1.7\n",
    b"PK\3\4" + bytes(60),
    b"\x7fELF" + bytes(60),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(40),
    bytes(100_000),
)
TYPES = (
    *(b"image/png", b"application/json", b"text/html", b"multipart/form-data", b"", b"\xff/\xfe"),
    *(b"multipart/form-data; boundary=", b"multipart/mixed; boundary=a", b"image/" + b"x" * 5000),
)


class Attacks:
    """Makes one attack after the other.

    Args:
        seed: of everything random.
        header_bytes: of the largest header that is sent.
        heavy: whether bombs that take seconds to decode are among them.
    """

    def __init__(self, seed: int, header_bytes: int = 300_000, heavy: bool = True) -> None:
        self.rng, self.header_bytes = np.random.default_rng(seed), header_bytes
        self.bombs = small_bombs() + (large_bombs() if heavy else [])
        self.kinds: dict[str, tuple[float, Callable[[], Attack]]] = {
            "good picture": (0.1, self.good),
            "good form": (0.05, self.good_form),
            "random bytes": (0.15, self.random_bytes),
            "mutated picture": (0.3, self.mutated_picture),
            "mutated form": (0.1, self.mutated_form),
            "bomb": (0.03, self.bomb),
            "other type": (0.1, self.other_type),
            "header": (0.1, self.header),
            "no HTTP": (0.04, self.no_http),
            "slow client": (0.015, self.slow),
            "client that goes": (0.015, self.goes),
        }

    def __iter__(self) -> Iterator[Attack]:
        names, shares = list(self.kinds), [share for share, _ in self.kinds.values()]
        while True:
            yield self.kinds[str(self.rng.choice(names, p=shares))][1]()

    def good(self) -> Attack:
        return Attack("good picture", (request(picture(self.rng)),), is_good=True)

    def good_form(self) -> Attack:
        pictures = [picture(self.rng) for _ in range(self.rng.integers(1, 12))]
        body, kind = form(self.rng, pictures)
        return Attack("good form", (request(body, kind=kind),), is_good=True)

    def random_bytes(self) -> Attack:
        start = picture(self.rng)[: self.rng.integers(20)] if self.rng.random() < 0.5 else b""
        body = start + self.rng.bytes(int(2 ** self.rng.uniform(0, 17)))
        return Attack("random bytes", (request(body),))

    def mutated_picture(self) -> Attack:
        return Attack("mutated picture", (request(mutated(self.rng, picture(self.rng))),))

    def mutated_form(self) -> Attack:
        body, kind = form(self.rng, [picture(self.rng) for _ in range(self.rng.integers(1, 4))])
        if self.rng.random() < 0.1:
            body, kind = form(self.rng, [b"x"] * 5000)
        elif self.rng.random() < 0.8:
            body = mutated(self.rng, body)
        else:
            kind = mutated(self.rng, kind).replace(b"\r", b"").replace(b"\n", b"")
        return Attack("mutated form", (request(body, kind=kind),))

    def bomb(self) -> Attack:
        return Attack("bomb", (request(self.bombs[self.rng.integers(len(self.bombs))]),))

    def other_type(self) -> Attack:
        body, kind = OTHERS[self.rng.integers(len(OTHERS))], TYPES[self.rng.integers(len(TYPES))]
        encoding = (b"Content-Encoding: gzip",) if self.rng.random() < 0.2 else ()
        return Attack("other type", (request(body, *encoding, kind=kind),))

    def header(self) -> Attack:
        large = b"x" * int(2 ** self.rng.uniform(4, np.log2(self.header_bytes)))
        body = picture(self.rng)
        whole = request(body)
        choices = (
            request(body, b"X-Large: " + large),
            request(body, *[b"X-%d: y" % number for number in range(len(large) // 8)]),
            request(body, path=b"?model=" + large),
            request(body, path=b"?model=%ff%00&name=" + self.rng.bytes(9).hex().encode()),
            request(body, b"Authorization: Bearer " + large),
            request(body, b"Origin: http://elsewhere.example"),
            request(body, b"Transfer-Encoding: chunked"),
            whole.replace(b"Content-Length: ", b"Content-Length: -"),
            whole.replace(b"Content-Length: ", b"Content-Length: 99999999999999999999"),
            whole.replace(b"Content-Length: ", b"Content-Length: 0x"),
            whole.replace(b"POST", b"BREW").replace(b"/v1/predict", b"/../../etc/passwd"),
            whole.replace(b"/v1/predict", b"/" + large),
            whole.replace(b"Host", b"Ho st"),
            whole.replace(b"HTTP/1.1", b"HTTP/3.7"),
            whole.replace(b"POST", b"GET").replace(b"/v1/predict", b"/metrics"),
        )
        return Attack("header", (choices[self.rng.integers(len(choices))],))

    def no_http(self) -> Attack:
        ways = (
            self.rng.bytes(int(self.rng.integers(1, 3000))),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.rng.bytes(200),
            b"GET /\r\n\r\n",
            mutated(self.rng, request(picture(self.rng))),
        )
        return Attack("no HTTP", (ways[self.rng.integers(len(ways))],), stays=False)

    def slow(self) -> Attack:
        whole = request(picture(self.rng))
        cut = int(self.rng.integers(1, len(whole)))
        ends = self.rng.random() < 0.5
        parts = (whole[:cut], *(whole[at : at + 1] for at in range(cut, min(cut + 40, len(whole)))))
        rest = (whole[cut + 40 :],) if ends else ()
        return Attack("slow client", (*parts, *rest), pause=SLOW)

    def goes(self) -> Attack:
        whole = request(picture(self.rng))
        cut = whole[: int(self.rng.integers(len(whole) + 1))]
        return Attack("client that goes", (cut,), stays=False)


def send(attack: Attack, port: int) -> str:
    """The status of the answer, or "none"."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        answer = b""
        try:
            for part in attack.parts:
                connection.sendall(part)
                time.sleep(attack.pause)
            if not attack.stays:
                return "none"
            while b"\r\n\r\n" not in answer:
                more = connection.recv(65536)
                if not more:
                    break
                answer += more
        except TimeoutError:
            return "no answer in time"
        except OSError:  # it was ended while we sent
            pass
        found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
        return found.group(1).decode() if found else "none"


def fuzz(port: int, attacks: Attacks, count: int) -> Counter[tuple[str, str]]:
    """How often each kind of attack got each status.

    Args:
        port: of the service on this machine.
        attacks: to take from.
        count: of attacks.
    """
    found: Counter[tuple[str, str]] = Counter()

    def one(attack: Attack) -> tuple[str, str]:
        return attack.kind, send(attack, port)

    with ThreadPoolExecutor(CLIENTS) as pool:
        source = iter(attacks)
        for start in range(0, count, 500):
            some = [next(source) for _ in range(min(500, count - start))]
            found.update(pool.map(one, some))
    return found


def wrong(found: Counter[tuple[str, str]], goods: tuple[str, ...]) -> list[str]:
    """What must not be among the answers.

    Args:
        found: as ``fuzz`` gives it.
        goods: kinds that must be answered with verdicts, or 503.
    """
    return [
        f"{number} x {kind}: {status}"
        for (kind, status), number in sorted(found.items())
        if status == "no answer in time"
        or (status.startswith("5") and status != "503")
        or (kind in goods and status not in ("200", "503"))
    ]


GOODS = ("good picture", "good form")


def main() -> None:
    """Attack a service in a process of its own, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name))
        kept = Path(name, "kept")
        words = ("--keep-novelties", str(kept), "--keep-at-most", "500", "--timeout", "10")
        with serving(model, *words) as service:
            attacks = Attacks(given.seed)
            fuzz(service.port, attacks, 200)  # what a process loads once
            memory, files = service.memory(), service.open_files()
            began = time.perf_counter()
            found = fuzz(service.port, attacks, given.count // 2)
            half = service.memory()
            found += fuzz(service.port, attacks, given.count - given.count // 2)
            seconds = time.perf_counter() - began
            time.sleep(12)  # slow ones end
            after, files_after = service.memory(), service.open_files()
            alive, log = service.is_alive(), service.log()
        unreadable = [str(path) for path in kept.rglob("*") if path.is_file() and not _opens(path)]
    table: dict[str, list[str]] = {}
    for (kind, status), number in sorted(found.items()):
        table.setdefault(kind, []).append(f"{status}: {number}")
    print("| request | answers |\n|---|---|")
    for kind, answers in table.items():
        print(f"| {kind} | {', '.join(answers)} |")
    print(
        f"\n{given.count} requests in {seconds:.0f} s; memory {memory >> 20} MiB before, "
        f"{half >> 20} MiB after half of them, {after >> 20} MiB after all; open files {files} before, {files_after} after; "
        f"kept pictures that cannot be read: {len(unreadable)}"
    )
    faults = wrong(found, GOODS) + unreadable
    faults += [] if alive else ["the process ended"]
    faults += [log] if "Traceback" in log else []
    for fault in faults:
        print(f"FAULT: {fault}")
    sys.exit(bool(faults))


def _opens(path: Path) -> bool:
    """Whether a picture is as whole as when the service judged it."""
    try:
        read_image(path, Preprocessing(32, 32, 3))
    except UnreadableImageError:
        return False
    return True


if __name__ == "__main__":
    main()

"""A small part of ``benchmarks.fuzz_service``: whatever comes, no 5xx but 503, and nothing is left."""

import logging
import time
from pathlib import Path

import pytest
from benchmarks.fuzz_service import GOODS, Attacks, fuzz, wrong

from knowbound.product.serving.server import Settings
from knowbound.product.serving.settings import Limits
from tests.product.serving.samples import Shade, running

LIMITS = Limits(request_bytes=300_000, pixels=40_000, pictures=100, seconds=2.0, header_seconds=1.0)


def test_whatever_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.onnx").write_text("m")
    settings = Settings(port=0, limits=LIMITS, keep=tmp_path / "kept")
    with running({"m": tmp_path / "m.onnx"}, settings, lambda _: Shade()) as service:
        found = fuzz(service.port, Attacks(3, heavy=False), 200)
        assert wrong(found, GOODS) == []
        assert {kind for kind, _ in found} == set(Attacks(0, heavy=False).kinds)
        assert service.ask("GET", "/readyz").status == 200
        until = time.monotonic() + 10
        while service.metric("knowbound_waiting_pictures") and time.monotonic() < until:
            time.sleep(0.05)
        assert service.metric("knowbound_waiting_pictures") == 0
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]

"""The page in a browser: pictures are given to it, and what it shows is what the service said."""

from pathlib import Path

import pytest

from knowbound.product.serving.server import Settings
from tests.chromium import find_chromium, page
from tests.product.serving.samples import Shade, running, shade

TOKEN = "0123456789abcdef0123456789abcdef"
CELLS = (
    "[...document.querySelectorAll('#rows tr')].map((r) => [...r.cells].map((c) => c.textContent))"
)


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
def test_pictures_are_judged_and_shown(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("m")
    names = {"dark.png": 50, "<b>new.png": 150, "odd.png": 250}
    for name, value in names.items():
        (tmp_path / name).write_bytes(shade(value))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / name for name in (*names, "broken.png")]
    program = str(find_chromium())
    settings = Settings(port=0, token=TOKEN)
    with (
        running({"m": tmp_path / "m.onnx"}, settings, lambda _: Shade("dark <i>")) as service,
        page(program, tmp_path / "profile") as seen,
    ):
        seen.open(f"http://127.0.0.1:{service.port}/")
        seen.wait("document.getElementById('trouble').textContent.includes('token')")
        seen.value(f"at('token').value = '{TOKEN}'; at('token').onchange()")
        seen.wait("document.getElementById('trouble').textContent === ''")
        seen.complaints.clear()  # the browser logs the 401
        seen.choose("#files", files)
        seen.wait("document.querySelectorAll('#rows tr').length === 4")
        seen.wait("document.getElementById('said').textContent.startsWith('4 pictures')")
        rows = [row[1:5] for row in seen.value(CELLS)]
        assert rows[:3] == [
            ["dark.png", "known", "dark <i>", "0.805"],
            ["<b>new.png", "novelty", "(dark <i>)", "0.414"],
            ["odd.png", "anomaly", "(dark <i>)", "0.0234"],
        ]
        assert rows[3][1] == "error"
        said = seen.value("document.getElementById('said').textContent")
        assert said == "4 pictures: 1 known, 1 novelty, 1 anomaly, 1 that could not be read."
        seen.wait("[...document.images].slice(0, 3).every((one) => one.complete)")
        assert seen.value("[...document.images].map((one) => one.naturalWidth)") == [4, 4, 4]
        assert not seen.value("document.documentElement.scrollWidth > innerWidth")
        seen.value("at('clear').click()")
        assert seen.value(CELLS) == []
        seen.open(f"http://127.0.0.1:{service.port}/docs")
        assert "POST /v1/predict" in seen.value("document.body.innerText")
        assert seen.complaints == []

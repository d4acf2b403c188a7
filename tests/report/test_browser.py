"""The report in a browser without a window: no error, and the slider moves the numbers."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from knowbound.report import write_page
from knowbound.report.what_if import what_if
from tests.report.samples import evidence, two_outs

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
BEFORE = """<script>
window.seen = [];
addEventListener("error", e => seen.push(e.message));
addEventListener("securitypolicyviolation", e => seen.push(e.violatedDirective + " " + e.blockedURI));
const told = console.error;
console.error = (...words) => { seen.push(words.join(" ")); told(...words); };
</script>"""
AFTER = """<script>setTimeout(() => {
  const panel = document.querySelector("[data-panel]"), slider = panel.querySelector("input");
  const tell = () => ({
    acceptance: panel.querySelector("output").textContent,
    tiles: [...panel.querySelectorAll(".tiles li")].map(li => [...li.children].map(c => c.textContent)),
    cells: Object.fromEntries([...panel.querySelectorAll("[data-cell]")].map(c => [c.dataset.cell, c.textContent])),
    command: panel.querySelector("code").textContent,
  });
  const states = [tell()];
  slider.value = 3;
  slider.dispatchEvent(new Event("input"));
  states.push(tell());
  panel.querySelector("[data-set=own]").click();
  states.push(tell());
  panel.querySelector("[data-set=cheapest]").click();
  states.push(tell());
  const scene = document.querySelector(".scene");
  plots.forEach(draw);
  scene.emit("plotly_hover", {points: [{customdata: [1, 2]}]});
  const style = document.getElementById("thumbnail").style;
  const picture = [document.getElementById("thumbnail").hidden, style.backgroundPosition];
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({states, picture, seen, plots: document.querySelectorAll(".plot .main-svg").length});
  document.body.append(told);
}, 3000);</script></body>"""


@pytest.mark.skipif(not BROWSER, reason="there is no Chromium here to open the page in")
def test_the_slider_moves_the_numbers_and_nothing_goes_wrong(tmp_path: Path) -> None:
    model = evidence(*two_outs(paths=True))
    costs = {"known-as-novelty": 1.0, "novelty-as-known": 10.0}
    page = tmp_path / "report.html"
    write_page(page, "A title", [model], costs=costs, folders=["model"])
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<body>", f"<body>{BEFORE}", 1).replace("</body>", AFTER))
    told = in_browser(page)
    assert told["seen"] == []
    assert told["plots"] > 3
    assert told["picture"] == [False, "-224px 0px"]
    found = what_if(model)
    assert found is not None
    each = [s.acceptance for s in found.settings]
    best = json.loads(
        re.search(r'id="model-1-panel-data">(.*?)</script>', text)[1]  # type: ignore[index]
    )["cheapest"]
    for state, at in zip(told["states"], (found.own, 3, found.own, best), strict=True):
        setting = found.settings[at]
        assert state["acceptance"] == f"{100 * each[at]:.4g}%"
        assert state["command"] == (
            f"knowbound adjust model --acceptance {each[at]:.4g} -o model-{each[at]:.4g}"
        )
        rows = dict(zip(("known", "novelty", "anomaly"), setting.counts, strict=True))
        for truth, counts in rows.items():
            for said, count in zip(rows, counts, strict=True):
                assert state["cells"][f"{truth} {said}"] == f"{count:,}"
        tiles = {name: value for value, name, _ in state["tiles"]}
        known, novelty, anomaly = setting.counts
        assert tiles["known accepted"] == f"{100 * known[0] / sum(known):.2f}%"
        assert tiles["novelties rejected"] == f"{100 * (1 - novelty[0] / sum(novelty)):.2f}%"
        assert tiles["anomalies rejected"] == f"{100 * (1 - anomaly[0] / sum(anomaly)):.2f}%"
        assert float(tiles["cost of 1,000 pictures"]) >= 0
    assert told["states"][0] == told["states"][2] != told["states"][1]


def in_browser(page: Path) -> dict[str, Any]:
    """What the page's last script wrote into it."""
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--dump-dom"),
        *("--enable-unsafe-swiftshader", "--virtual-time-budget=6000", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result

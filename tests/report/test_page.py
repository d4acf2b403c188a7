"""The page as a browser reads it: nothing from the network, nothing escaped wrongly, everything in
its place."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.errors import UserError
from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Kind
from knowbound.report import write_page
from knowbound.report.what_if import what_if
from tests.report.samples import EVIL, evidence, judged, printed, rejudged, two_outs


class Page(HTMLParser):
    """Tags, addresses, ids, visible text, and the plots' data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.plots: dict[str, Any] = {}
        self.numbers: dict[str, Any] = {}
        """Of the sliders and of the sheets of thumbnails."""
        self.text = ""
        self._script: dict[str, str | None] | None = None
        self._data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._script, self._data = (dict(attrs) if tag in ("script", "style") else None), ""

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self._data += data

    def handle_endtag(self, tag: str) -> None:
        if self._script is not None and self._script.get("type") == "application/json":
            name, values = str(self._script["id"]), json.loads(self._data)
            plot = isinstance(values, dict) and "data" in values
            (self.plots if plot else self.numbers)[name] = values
        self._script = None

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def write(folder: Path, models: Sequence[Evidence], **options: Any) -> Page:
    path = folder / "report.html"
    write_page(path, "A title", models, **options)
    assert path.stat().st_size < 8_000_000
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_comes_from_the_network_and_links_lead_somewhere(tmp_path: Path) -> None:
    page = write(tmp_path, [evidence(*two_outs()), evidence(*two_outs(), method="ODM")])
    for address in page.values("src") + page.values("href"):
        assert address.startswith(("data:", "#")), address
    assert "link" not in page.tags
    assert "iframe" not in page.tags
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {a.removeprefix("#") for a in page.values("href")} <= set(ids)
    assert all(alt for tag, name, alt in page.attributes if (tag, name) == ("img", "alt"))
    assert page.tags.count("img") == len(page.values("alt"))
    assert "default-src 'none'" in "".join(page.values("content"))


def test_names_and_paths_are_escaped_everywhere(tmp_path: Path) -> None:
    plain = write(tmp_path, [evidence(*two_outs(paths=True))])
    outs = [
        replace(out, name=EVIL, paths=tuple(EVIL for _ in out.paths))
        for out in two_outs(paths=True)
    ]
    model = evidence(
        *outs, names=(EVIL, "b", "c"), inside=judged(EVIL, None, 120, seed=9), method=EVIL
    )
    page = write(tmp_path, [model], published=[printed()], intro=EVIL, notes=[EVIL])
    assert page.tags == [
        *plain.tags[: plain.tags.index("nav")],
        "p",
        *plain.tags[plain.tags.index("nav") :],
    ]  # one note more
    assert page.text.count(EVIL) > 20
    names = [trace.get("name", "") for plot in page.plots.values() for trace in plot["data"]]
    assert any("&lt;/script&gt;" in name for name in names)
    assert not any(
        "&amp;lt;" in name for name in names
    )  # once is enough: the reader would see the code
    assert not any("<" in name for name in names)


def test_the_three_plots_hold_the_evidence(tmp_path: Path) -> None:
    model = evidence(*two_outs())
    page = write(tmp_path, [model], max_points=50)
    sets = (model.in_set, *model.out_sets)
    for trace, judged_set in zip(page.plots["model-1-scores-data"]["data"], sets, strict=True):
        assert sum(trace["y"][:-1]) == len(judged_set)
    points = page.plots["model-1-embedding-data"]["data"]
    assert sum(len(t["x"]) for t in points if t["name"].startswith("in: ")) == 50
    assert [len(t["x"]) for t in points[-3:]] == [50, 50, 3]  # novelty, noise, centres
    assert len(page.plots["model-1-roc-data"]["data"]) == 3  # the diagonal and one per out set


def test_a_point_says_set_class_decision_and_score(tmp_path: Path) -> None:
    inside = judged("digits", None, 2, dim=3)
    inside = rejudged(
        replace(inside, labels=np.array([1, 1])),
        score=np.array([0.5, 9.0]),
        decision=np.array([0, 2]),
        nearest=np.array([1, 2]),
    )
    trace = write(tmp_path, [evidence(inside=inside)]).plots["model-1-embedding-data"]["data"][0]
    assert trace["meta"] == "digits (in, test)"
    assert trace["text"] == [
        "known, score 0.5<br>class six, nearest six",
        "anomaly, score 9<br>class six, nearest seven",
    ]
    assert trace["z"] == pytest.approx(inside.judgement.embedding[:, 2].tolist(), rel=1e-4)


def test_table_decisions_and_provenance_are_on_the_page(tmp_path: Path) -> None:
    model = evidence(*two_outs(), inside=judged("MNIST 2, 6, 7", None, 120))
    (first, *_) = model.results
    other = replace(first, convention="seed", numbers=replace(first.numbers, auroc=0.1234))
    model = replace(model, results=(*model.results, other))
    text = write(tmp_path, [model], published=[printed(out_dist="others")]).text
    for part in (
        "paper 94.48",
        "95.00",
        "12.34",
        "said novelty",
        '"commit": "abc"',
        "convention seed",
    ):
        assert part in text, part


def test_surprises_or_a_sentence(tmp_path: Path) -> None:
    outs = tuple(rejudged(out, decision=np.full(len(out), 2)) for out in two_outs())
    page = write(tmp_path, [evidence(*outs)])
    assert "No unknown image was accepted as known." in page.text
    assert "No unknown image was called a novelty." in page.text
    assert "two rejected" in page.text
    assert re.search("(two|six|seven) taken for (two|six|seven)", page.text)
    assert "There are no unknown images." in write(tmp_path, [evidence()]).text


def test_the_slider_and_the_confusion_hold_what_was_counted(tmp_path: Path) -> None:
    novelty, anomaly = two_outs()
    model = evidence(novelty, replace(novelty, name="more"), anomaly)
    page = write(tmp_path, [model], costs={"novelty-as-known": 10.0}, folders=["a folder/model"])
    told, found = page.numbers["model-1-panel-data"], what_if(model)
    assert found is not None
    assert told["own"] == found.own
    assert told["counts"] == [[list(row) for row in s.counts] for s in found.settings]
    assert told["kinds"] == ["known", "novelty", "novelty", "anomaly"]
    cells = [value for tag, name, value in page.attributes if name == "data-cell"]
    rows = ("known", "novelty", "1", "2", "anomaly")  # a kind of two sets has three rows
    assert cells == [f"{row} {said}" for row in rows for said in ("known", "novelty", "anomaly")]
    command = "knowbound adjust 'a folder/model' --acceptance 0.95 -o 'a folder/model-0.95'"
    assert command in page.text
    assert "At these costs 1,000 such pictures cost" in page.text
    assert page.plots["model-1-cost-data"]["data"][0]["y"] == pytest.approx(
        [1000 * cost for cost in told["cost"]], rel=1e-4
    )


def test_where_a_model_is_in_no_folder_the_command_trains_it(tmp_path: Path) -> None:
    model = evidence(*two_outs())
    rows = tuple(replace(row, run=replace(row.run, variant="vim")) for row in model.results)
    page = write(tmp_path, [model, replace(model, results=rows)], folders=["m"])
    assert "knowbound adjust m --acceptance 0.95 -o m-0.95" in page.text
    assert "knowbound fit DIR --detector vim --acceptance 0.95 -o MODEL" in page.text
    unknown = replace(model, promise={"range": [0.9, 0.98], "images": 120, "level": None})
    page = write(tmp_path, [unknown])
    assert "Three-way confusion" in page.text
    assert "model-1-panel-data" not in page.numbers


def test_one_embedding_is_drawn_once_and_its_thumbnails_are_kept_once(tmp_path: Path) -> None:
    first = evidence(*two_outs(paths=True))
    other = replace(first, method="ODM", in_set=judged("digits", None, 120, seed=3))
    page = write(tmp_path, [first, replace(first, method="CE"), other], max_points=50)
    assert [name for name in page.plots if "embedding" in name] == [
        "model-1-embedding-data",
        "model-3-embedding-data",
    ]
    assert "Its embedding is that of ML" in page.text
    sheets = page.numbers["sheets"]
    assert len(sheets) == 4  # three sets, and the other known images
    traces = page.plots["model-1-embedding-data"]["data"]
    inside = [trace for trace in traces if trace["name"].startswith("in: ")]
    tiles = sorted(tile for trace in inside for tile in trace["customdata"])
    assert tiles == [[0, place] for place in range(50)]
    assert traces[-2]["customdata"] == [[2, place] for place in range(50)]
    assert re.search(r"<br>&lt;noise&gt;/\d+\.png$", traces[-2]["text"][0])


def test_the_risk_curve_is_that_of_the_metric(tmp_path: Path) -> None:
    model = evidence(*two_outs())
    line, point = write(tmp_path, [model]).plots["model-1-risk-data"]["data"]
    judgement, labels = model.in_set.judgement, model.in_set.labels
    for coverage, risk in zip(line["x"][::17], line["y"][::17], strict=True):
        count = round(coverage * 120)
        best = np.argsort(judgement.score)[:count]
        wrong = np.mean(judgement.nearest[best] != labels[best])
        assert risk == pytest.approx(wrong, abs=1e-4)
    known = judgement.decision == 0
    assert point["x"] == pytest.approx([known.mean()], rel=1e-4)
    wrong = np.mean(judgement.nearest[known] != labels[known])
    assert point["y"] == pytest.approx([wrong], rel=1e-4)


def infinite(judged_set: JudgedSet) -> JudgedSet:
    scores = judged_set.judgement.score.copy()
    scores[::3] = np.inf
    return rejudged(judged_set, score=scores)


@pytest.mark.parametrize(
    "model",
    [
        evidence(),
        evidence(*two_outs(dim=2), inside=judged("in", None, 30, dim=2)),
        evidence(*two_outs(dim=1), inside=judged("in", None, 1, dim=1, classes=1), names=("only",)),
        evidence(*(infinite(out) for out in two_outs()), inside=infinite(judged("in", None, 30))),
        replace(evidence(*two_outs()), threshold=np.inf, centres=None, results=()),
        evidence(judged("none", Kind.NOVELTY, 0), inside=judged("in", None, 0)),
        evidence(
            *two_outs(channels=3, side=100),
            inside=judged("in", None, 300, classes=128),
            names=tuple(map(str, range(128))),
        ),
        evidence(inside=replace(judged("in", None, 20), labels=np.full(20, -1))),
    ],
    ids=["no outs", "2-D", "one image", "inf", "bare", "empty", "many classes", "no labels"],
)
def test_odd_evidence(tmp_path: Path, model: Evidence) -> None:
    page = write(tmp_path, [model])
    assert all(plot["data"] for plot in page.plots.values())
    assert page.numbers["sheets"] is not None


def test_no_evidence_at_all_and_equal_names(tmp_path: Path) -> None:
    assert "No model was judged." in write(tmp_path, []).text
    text = write(tmp_path, [evidence(*two_outs())] * 2).text
    assert "ML, seed 0, model 2" in text


def test_a_large_set_stays_a_small_file(tmp_path: Path) -> None:
    outs = (
        judged("many", Kind.NOVELTY, 26_000, shift=1),
        judged("more", Kind.ANOMALY, 26_000, shift=3, seed=5),
    )
    write(tmp_path, [evidence(*outs, inside=judged("in", None, 26_000))] * 3)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_page(tmp_path / "report.html", "t", [evidence()])

"""The grid of Figure 1: its cells, its colours, the picture and the page."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from knowbound.errors import UserError
from knowbound.files.own_output import is_output
from knowbound.labels import Kind
from knowbound.report import embedding_figure, figure_page
from knowbound.report.figure import NOISE, NOVELTY, OUT_COLOURS, THREE_CLASSES, embedding_grid
from knowbound.report.projection import softmax
from tests.report.samples import EVIL, evidence, judged, two_outs
from tests.report.test_page import Page


def test_columns_are_the_in_set_alone_and_each_out_set_before_faded_classes() -> None:
    model = evidence(*two_outs(), judged("SVHN", Kind.ANOMALY, 10))
    (row,) = embedding_grid([model])
    assert [cell.title for cell in row] == [
        "in-distribution",
        "others (novelty)",
        "noise (anomaly)",
        "SVHN (anomaly)",
    ]
    assert [(c.name, c.colour, c.faded) for c in row[0].clouds] == [
        (name, colour, False) for name, colour in zip(model.class_names, THREE_CLASSES, strict=True)
    ]
    for cell, colour in zip(row[1:], (NOVELTY, NOISE, OUT_COLOURS["SVHN"]), strict=True):
        assert [cloud.faded for cloud in cell.clouds] == [True, True, True, False]
        assert cell.clouds[-1].colour == colour


def test_every_class_gets_its_own_points() -> None:
    inside = judged("in", None, 50, dim=3)
    (row,) = embedding_grid([evidence(inside=inside)])
    for label, cloud in enumerate(row[0].clouds):
        assert cloud.points == pytest.approx(inside.judgement.embedding[inside.labels == label])


def test_only_logits_of_three_classes_are_drawn_as_probabilities() -> None:
    out = judged("others", Kind.NOVELTY, 20, dim=3)
    inside = judged("in", None, 20, dim=3)
    (ce,), (ml,) = (
        [row[1].clouds[-1].points]
        for row in embedding_grid(
            [
                evidence(out, inside=inside, method="X", shows="logits"),
                evidence(out, inside=inside, method="CE", shows="embedding"),
            ]
        )
    )
    assert ce == pytest.approx(softmax(out.judgement.embedding), abs=1e-6)
    assert ce.sum(axis=1) == pytest.approx(np.ones(20))
    assert ml == pytest.approx(out.judgement.embedding)


def test_picture(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figure.png"
    embedding_figure(path, [evidence(*two_outs(), method="CE"), evidence()], title="T")
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[1] > picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_of_ours_may_be_replaced_and_one_of_others_not(
    tmp_path: Path, ending: str
) -> None:
    ours, theirs = tmp_path / f"ours.{ending}", tmp_path / f"theirs.{ending}"
    embedding_figure(ours, [evidence()])
    assert is_output(ours)
    Figure(figsize=(1, 1)).savefig(theirs)
    assert not is_output(theirs)


def test_picture_of_an_unknown_kind_and_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"\.png"):
        embedding_figure(tmp_path / "figure.docx", [evidence()])
    with pytest.raises(ValueError, match="at least one"):
        embedding_figure(tmp_path / "figure.png", [])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"knowbound\[figures\]"):
        embedding_figure(tmp_path / "figure.png", [evidence()])


def test_page_has_a_view_per_cell_and_no_network(tmp_path: Path) -> None:
    models = [
        evidence(*two_outs()),
        evidence(*(replace(o, name=EVIL) for o in two_outs()), method=EVIL),
    ]
    figure_page(tmp_path / "figure.html", models, EVIL, max_points=20)
    page = Page((tmp_path / "figure.html").read_text(encoding="utf-8"))
    assert len(page.plots) == 6
    assert page.tags.count("section") == 2
    assert not page.values("src") + page.values("href")
    assert all(len(plot["data"][-1]["x"]) <= 20 for plot in page.plots.values())
    assert EVIL in page.text


def test_the_callers_windows_of_matplotlib_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    monkeypatch.setattr(matplotlib, "use", lambda backend: pytest.fail(f"switched to {backend}"))
    embedding_figure(tmp_path / "figure.png", [evidence()])

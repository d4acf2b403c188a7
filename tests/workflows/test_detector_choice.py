"""Which detector a trained network gets: what is measured, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from knowbound.backbones import LeNet
from knowbound.data.outs.exchanged import exchanged_patches
from knowbound.data.source import Source
from knowbound.detectors import CentreAndStages, NearestCentre
from knowbound.workflows.detector_choice import NOTE, choose_detector, describe_choice
from knowbound.workflows.fit import run_plan
from knowbound.workflows.plan import plan_fit
from knowbound.workflows.settings import Settings
from tests.samples import blobs, write_folder

BOTH = ("nearest_centre", "centre_and_stages")
OUTPUTS = ("stages", "features", "embedding")


@pytest.fixture
def network() -> LeNet:
    torch.manual_seed(0)
    return LeNet(embedding=3, height=16, width=16, hidden=8).eval()


def area(network: LeNet, detector: NearestCentre, sources: list[Source]) -> float:
    """The slow way: one image at a time."""
    vectors = []
    for source in sources:
        images = torch.from_numpy(source.images(slice(None))).float() / 255
        with torch.no_grad():
            outputs = [network(image[None], stages=True) for image in images]
        vectors.append(torch.cat([detector.read(one) for one in outputs]))
    detector.learn(vectors[0], torch.from_numpy(sources[0].labels), sources[0].class_names)
    inside, outside = (detector.score(v).double().numpy() for v in vectors[1:])
    return float(np.mean([np.mean(outside > s) + np.mean(outside == s) / 2 for s in inside]))


def test_the_one_with_the_larger_area_is_taken(network: LeNet) -> None:
    learned, held = blobs(per_class=20), blobs(per_class=8, seed=3)
    chosen = choose_detector(BOTH, OUTPUTS, network, learned, held, seed=4)
    note = chosen.note[NOTE]
    rng = np.random.default_rng([4, 9])
    rng.permutation(len(learned))  # the draw of the images to learn from, here all
    exchanged = exchanged_patches(held, 1000, rng)
    expected = {
        name: area(network, kind(), [learned, held, exchanged])
        for name, kind in zip(BOTH, (NearestCentre, CentreAndStages), strict=True)
    }
    assert note["auroc"] == pytest.approx(expected, abs=1e-4)
    best = max(expected, key=expected.__getitem__)
    assert (
        type(chosen.detector).__name__
        == {
            "nearest_centre": "NearestCentre",
            "centre_and_stages": "CentreAndStages",
        }[best]
    )
    assert (note["images"], note["exchanged"]) == (24, 1000)
    assert describe_choice({NOTE: note}).startswith(
        f"Detector: {best}. AUROC of 24 further held-out"
    )


def test_images_of_one_class_and_one_name_leave_no_choice(network: LeNet) -> None:
    learned, held = blobs(per_class=20), blobs(per_class=8, seed=3)
    one = held.take(np.flatnonzero(held.labels == 1))
    for names, images in ((BOTH, one), (BOTH, None), (BOTH[:1], held)):
        chosen = choose_detector(names, OUTPUTS, network, learned, images)
        assert isinstance(chosen.detector, NearestCentre)
        assert ("too few images" in describe_choice(chosen.note)) == (names == BOTH)
    assert describe_choice({}) == ""


@pytest.mark.parametrize("seed", range(3))
def test_a_class_of_one_image_stays_beside_one_of_many(network: LeNet, seed: int) -> None:
    learned, many = blobs(per_class=20, classes=2), blobs(per_class=1500, classes=1, seed=3)
    one = blobs(per_class=1, first=1, classes=1, seed=4)
    held = Source(
        "held",
        np.concatenate([many.pixels, one.pixels]),
        np.append(np.zeros(1500, dtype=np.int64), 1),
        learned.class_names,
    )
    chosen = choose_detector(BOTH, OUTPUTS, network, learned, held, seed=seed)
    assert chosen.note[NOTE]["images"] == 501


def test_what_cannot_learn_is_not_taken(network: LeNet) -> None:
    """Of one image for each class there is no deviation of the logarithms."""
    learned, held = blobs(per_class=1), blobs(per_class=8, seed=3)
    chosen = choose_detector(
        ("centre_and_stages", "nearest_centre"), OUTPUTS, network, learned, held
    )
    assert chosen.note[NOTE]["auroc"]["centre_and_stages"] == 0.0
    assert isinstance(chosen.detector, NearestCentre)


@pytest.mark.parametrize(("per_class", "spared"), [(60, 0), (200, 48)])
def test_fit_chooses_by_images_that_set_no_threshold(
    per_class: int, spared: int, tmp_path: Path
) -> None:
    """Of 3 x 64 held-out images a quarter; of 3 x 19 the threshold needs all."""
    write_folder(tmp_path, blobs(per_class=per_class))
    asked = Settings(
        size=16, steps=3, held_out=0.32, synthetic=False, group_by="none", precision="float32"
    )
    plan = plan_fit(tmp_path, settings=asked)
    fitted = run_plan(plan)
    note = fitted.boundary.about["settings"][NOTE]
    assert note.get("images", 0) == spared
    held = round(0.32 * per_class) * 3
    assert len(fitted.held_out) == held - spared == fitted.boundary.threshold.describe()["images"]
    assert len(fitted.train) == 3 * per_class - held
    assert any(line.startswith("Detector: ") for line in fitted.summary)

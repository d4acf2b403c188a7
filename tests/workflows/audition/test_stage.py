"""Which images an audition learns from, and which it judges on."""

from pathlib import Path

import numpy as np

from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.preprocessing import Preprocessing
from knowbound.workflows.audition.stage import left_out_classes, sample_listing, set_stage
from tests.workflows.photographs import staged, write_photographs


def test_a_listing_is_sampled_evenly_by_class() -> None:
    names = ["a"] * 100 + ["b"] * 3 + ["c"] * 10
    files = [Path(f"{name}/{index}") for index, name in enumerate(names)]
    some = sample_listing(Listing(files, names, ["a", "b", "c"]), 15)
    assert [some.classes.count(name) for name in "abc"] == [5, 3, 5]
    assert [path.name for path in some.files[:5]] == ["0", "25", "50", "74", "99"]
    assert [path.parts[0] for path in some.files] == some.classes


def test_no_candidate_learns_what_it_is_judged_on(photographs: Path) -> None:
    stage = staged(photographs)
    assert (len(stage.small.paths), len(stage.large.paths), len(stage.known)) == (32, 24, 3)
    assert [stage.small.paths[k] for k in stage.shared] == list(stage.large.paths)
    assert np.bincount(stage.large.source.labels[stage.judged]).tolist() == [
        2 if label in stage.known else 6 for label in range(4)
    ]
    learned = stage.learned_small
    assert learned.class_names == tuple(stage.names)
    images = {image.tobytes() for image in learned.images(slice(None))}
    judged = stage.small.source.images(stage.shared[stage.judged])
    assert not images & {image.tobytes() for image in judged}
    assert len(learned) == 24 - 6


def test_pictures_that_belong_together_are_on_one_side(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path, 8)
    for path in sorted(folder.glob("*/*.png")):
        path.rename(path.with_name(f"{path.stem}-{'abcdefgh'.index(path.stem) // 2}.png"))
    small = read_folder(folder, Preprocessing(20, 20, 3), classes=True)
    stage = set_stage(small, small, r"-(\d)", seed=0)
    assert stage is not None
    inside = stage.judged & stage.is_known
    learned = {image.tobytes() for image in stage.learned_small.images(slice(None))}
    tracks = {
        path.rsplit("-", 1)[1] for path, held in zip(small.paths, inside, strict=True) if held
    }
    for index, path in enumerate(small.paths):
        if small.source.images(np.array([index]))[0].tobytes() in learned:
            assert path.rsplit("-", 1)[1] not in tracks


def test_too_few_pictures_set_no_stage(tmp_path: Path) -> None:
    small = read_folder(write_photographs(tmp_path, 2), Preprocessing(20, 20, 3), classes=True)
    assert set_stage(small, small, "none", seed=0) is None


def test_what_is_most_alike_is_not_left_out_together() -> None:
    alike = np.array([1, 0, 3, 2, 0, 4])
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(6)
        left = set(left_out_classes(order, alike).tolist())
        assert 1 <= len(left) <= 2
        assert not any(int(alike[label]) in left for label in left)
    assert left_out_classes(np.array([2, 3, 0, 1, 4, 5]), None).tolist() == [2, 3]

"""The split of Section 4.2: who may be where, traced by a number written into every crop."""

import io
import os
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.signs.crops import Crops
from knowbound.data.signs.tsinghua import TsinghuaCrops
from knowbound.data.source import Source
from knowbound.data.split import Split
from knowbound.errors import UserError
from knowbound.labels import OUT, Kind
from knowbound.paper.signs.class_splits import (
    ClassSplit,
    class_split,
    committed_splits,
    make_splits,
)
from knowbound.paper.signs.split import (
    BACKGROUND,
    NOISE,
    NOVELTY,
    ROAD_PATCHES,
    TsinghuaImages,
    read_tsinghua,
    tsinghua_split,
    tsinghua_validation_split,
)

CLASSES = ClassSplit(
    "toy",
    ("in2", "in0", "in1"),
    ("s0", "s1", "s2", "s3"),
    ("u0", "u1"),
    (("in0", "in1"), ("s0", "s1"), ("s2", "s3")),
)
NAMES = ("in0", "in1", "in2", "rare", "s0", "s1", "s2", "s3", "u0", "u1")
ALL = (NOVELTY, BACKGROUND, NOISE)


class Toy:
    """Images where crop number n has n in its first two pixels, and what each number is."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.frame: dict[int, str] = {}
        self.what: dict[int, str] = {}
        self.images = TsinghuaImages(
            train=TsinghuaCrops(self.signs("train", 600), self.unlabelled("train background", 60)),
            test=TsinghuaCrops(self.signs("test", 300), self.unlabelled("test background", 40)),
            roads=self.unlabelled("road", 30),
            dropped=0,
            problems=(),
        )

    def signs(self, part: str, count: int) -> Crops:
        labels = self.rng.integers(len(NAMES), size=count)
        crops = self.crops(
            f"{part} ", labels.astype(np.int64), NAMES, frames=count // 2, prefix=part
        )
        return Crops(crops.source, crops.frames, crops.sizes)

    def unlabelled(self, what: str, count: int) -> Crops:
        return self.crops(what, np.full(count, OUT, dtype=np.int64), (), frames=count, prefix=what)

    def crops(
        self, what: str, labels: np.ndarray, names: tuple[str, ...], frames: int, prefix: str
    ) -> Crops:
        numbers = np.arange(len(labels)) + len(self.frame)
        ids = [f"{prefix} {frame}" for frame in self.rng.integers(frames, size=len(labels))]
        for number, label, frame in zip(numbers.tolist(), labels.tolist(), ids, strict=True):
            self.frame[number], self.what[number] = frame, what + (names[label] if names else "")
        pixels = np.zeros((len(labels), 3, 4, 4), dtype=np.uint8)
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = numbers // 256, numbers % 256
        sizes = np.full((len(labels), 2), 4, dtype=np.int64)
        return Crops(Source(prefix, pixels, labels, names), np.array(ids), sizes)


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy()


def numbers(source: Source) -> list[int]:
    return [int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]) for image in source.pixels]


def out(split: Split, role: str, name: str) -> Source:
    return next(o.source for o in getattr(split, role) if o.name == name)


def kinds(toy: Toy, source: Source) -> set[str]:
    return {toy.what[n] for n in numbers(source)}


def frames(toy: Toy, *sources: Source) -> set[str]:
    return {toy.frame[n] for source in sources for n in numbers(source)}


def test_every_image_has_the_role_of_its_class_and_side(toy: Toy) -> None:
    split = tsinghua_split(toy.images, CLASSES, ALL)
    assert split.train.class_names == ("in2", "in0", "in1")
    for source, side in ((split.train, "train"), (split.validation, "train"), (split.test, "test")):
        for number, label in zip(numbers(source), source.labels.tolist(), strict=True):
            assert toy.what[number] == f"{side} {source.class_names[label]}"
    assert kinds(toy, out(split, "seen_out", NOVELTY)) == {f"train {c}" for c in CLASSES.seen}
    assert kinds(toy, out(split, "seen_out", BACKGROUND)) == {"train background", "road"}
    assert kinds(toy, out(split, "unseen_out", NOVELTY)) == {f"test {c}" for c in CLASSES.unseen}
    assert kinds(toy, out(split, "unseen_out", BACKGROUND)) == {"test background"}
    assert len(out(split, "unseen_out", NOISE)) == len(split.test)
    assert [o.kind for o in split.unseen_out] == [Kind.NOVELTY, Kind.ANOMALY, Kind.ANOMALY]
    assert all((o.source.labels == OUT).all() for o in (*split.seen_out, *split.unseen_out))


def test_nothing_is_lost_and_no_frame_is_in_both_train_and_validation(toy: Toy) -> None:
    split = tsinghua_split(toy.images, CLASSES, ALL)
    expected = sorted(
        n for n, what in toy.what.items() if what in {f"train {c}" for c in CLASSES.in_classes}
    )
    assert sorted(numbers(split.train) + numbers(split.validation)) == expected
    assert not frames(toy, split.train) & frames(toy, split.validation)
    assert 0.06 < len(split.validation) / len(expected) < 0.14


@pytest.mark.parametrize("seen", [(), (NOVELTY,), (NOISE,), (BACKGROUND, NOVELTY)])
@pytest.mark.parametrize("make", [tsinghua_split, tsinghua_validation_split])
def test_what_is_seen_is_the_only_difference(toy: Toy, make: object, seen: tuple[str, ...]) -> None:
    some, everything = (make(toy.images, CLASSES, s, seed=3) for s in (seen, ALL))  # type: ignore[operator]
    assert {o.name for o in some.seen_out} == set(seen)
    for field in fields(Split):
        if field.name not in ("name", "seen_out"):
            one, other = getattr(some, field.name), getattr(everything, field.name)
            sources = (
                [(one, other)]
                if isinstance(one, Source)
                else [(a.source, b.source) for a, b in zip(one, other, strict=True)]
            )
            assert all(a.sha256() == b.sha256() for a, b in sources)
    for name in seen:
        assert out(some, "seen_out", name).sha256() == out(everything, "seen_out", name).sha256()


def test_another_seed_holds_out_other_frames_and_leaves_the_test_alone(toy: Toy) -> None:
    one, other = (tsinghua_split(toy.images, CLASSES, ALL, seed) for seed in (0, 1))
    assert one.validation.sha256() != other.validation.sha256()
    assert one.test.sha256() == other.test.sha256()
    assert [o.source.sha256() for o in one.unseen_out] == [
        o.source.sha256() for o in other.unseen_out
    ]
    assert out(one, "seen_out", NOISE).sha256() != out(one, "unseen_out", NOISE).sha256()


@pytest.mark.parametrize("seed", range(5))
def test_choosing_settings_never_meets_test_data_or_unseen_classes(toy: Toy, seed: int) -> None:
    split = tsinghua_validation_split(toy.images, CLASSES, ALL, seed)
    everything = [
        split.train,
        split.validation,
        split.test,
        *(o.source for o in (*split.seen_out, *split.unseen_out)),
    ]
    for source in everything:
        if source.name != NOISE:
            assert not {
                what
                for what in kinds(toy, source)
                if what.startswith("test") or what[-2:] in CLASSES.unseen
            }


@pytest.mark.parametrize("seed", range(5))
def test_choosing_settings_has_no_frame_on_both_sides_and_divides_whole_groups(
    toy: Toy, seed: int
) -> None:
    split = tsinghua_validation_split(toy.images, CLASSES, ALL, seed)
    shown, hidden = (out(split, role, NOVELTY) for role in ("seen_out", "unseen_out"))
    assert {frozenset(kinds(toy, shown)), frozenset(kinds(toy, hidden))} == {
        frozenset({"train s0", "train s1"}),
        frozenset({"train s2", "train s3"}),
    }
    patches = (out(split, role, BACKGROUND) for role in ("seen_out", "unseen_out"))
    shown_patches, hidden_patches = patches
    assert kinds(toy, hidden_patches) == {"train background"}
    assert frames(toy, split.train).isdisjoint(frames(toy, split.validation))
    trained_on = frames(toy, split.train, split.validation, shown, shown_patches)
    assert trained_on.isdisjoint(frames(toy, split.test, hidden, hidden_patches))
    assert len(split.test) > 20
    assert len(hidden) > 5
    assert len(hidden_patches) > 10


def test_an_unknown_kind_is_refused(toy: Toy) -> None:
    with pytest.raises(ValueError, match="Tsinghua"):
        tsinghua_split(toy.images, CLASSES, ("novelty",))


def picture(shade: int, size: tuple[int, int], form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, form)
    return buffer.getvalue()


def test_the_images_are_read_from_the_zip_files(tmp_path: Path) -> None:
    (tmp_path / "tt100k").mkdir()
    (tmp_path / "background").mkdir()
    with zipfile.ZipFile(tmp_path / "tt100k" / "tt100k_crops.zip", "w") as archive:
        for name in (
            "train/a/1_0",
            "train/a/2_0",
            "train/negative/3",
            "test/a/2_1",
            "test/b/4_0",
            "test/negative/5",
        ):
            archive.writestr(f"{name}.png", picture(80, (9, 9), "PNG"))
        archive.writestr("train/a/6_0.png", b"broken")
    with pytest.raises(UserError, match="background"):
        read_tsinghua(tmp_path)
    with zipfile.ZipFile(tmp_path / "background" / "camvid_frames.zip", "w") as archive:
        archive.writestr("frame.jpg", picture(120, (480, 360), "JPEG"))
    images = read_tsinghua(tmp_path, size=8)
    assert images.train.signs.frames.tolist() == ["1"]
    assert images.dropped == 1
    assert images.test.signs.source.class_names == ("a", "b")
    assert [p.path.name for p in images.problems] == ["6_0.png"]
    assert images.roads.source.pixels.shape == (ROAD_PATCHES, 3, 8, 8)


@pytest.mark.real_data
def test_the_real_images_give_the_committed_splits() -> None:
    root = Path(os.environ.get("KNOWBOUND_DATA") or Path(__file__).parents[4] / "shared" / "data")
    if not (root / "tt100k" / "tt100k_crops.zip").is_file():
        pytest.skip(
            "the Tsinghua crops are absent; name the folder of the data sets in KNOWBOUND_DATA"
        )
    images = read_tsinghua(root, size=4)
    train, test = images.train, images.test
    assert (len(train.signs) + images.dropped, len(train.background)) == (16_527, 600)
    assert (len(test.signs), len(test.background)) == (8_190, 600)
    assert (images.dropped, images.problems) == (12, ())
    assert not set(train.signs.frames) & set(test.signs.frames)
    assert make_splits(train.signs.class_counts(), test.signs.class_counts()) == committed_splits()
    split = tsinghua_split(images, class_split(restricted=True))
    assert (len(split.train) + len(split.validation), len(split.test)) == (7_621, 3_793)
    assert [len(o.source) for o in (*split.seen_out, *split.unseen_out[:2])] == [2_443, 2_335, 600]

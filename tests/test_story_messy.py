"""A folder as a person sends it, from the first refusal to the table of verdicts."""

import csv
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.errors import UserError
from knowbound.workflows.predict import Prediction
from knowbound.workflows.tables import table_writer
from tests.command import knowbound
from tests.samples import PLACES, blob_images

NAMES = ("arbre vert", "Straße", "木")
"""Names of classes as people give them."""
FIT = ("--size", "16", "--steps", "60", "--precision", "float32", "--no-synthetic")


def phone_picture(image: Image.Image, path: Path) -> None:
    """A JPEG that lies on its side, with the EXIF entry that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    image.rotate(90).resize((64, 64)).save(path, quality=95, exif=exif)


def messy(root: Path) -> Path:
    """``root/train/class/...`` and ``root/test/class/...`` with all that gathers in them."""
    rng = np.random.default_rng(0)
    for part, counts in (("train", (60, 40, 6)), ("test", (10, 10, 10))):
        for label, (name, count) in enumerate(zip(NAMES, counts, strict=True)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index, image in enumerate(blob_images(np.full(count, label), rng)):
                picture = Image.fromarray(image[0])
                if index % 5 == 4:
                    phone_picture(picture, folder / f"IMG {index}.jpg")
                else:
                    picture.save(folder / f"bild-{index} (1).png")
    first = root / "train" / NAMES[0]
    for index in range(20):  # the same picture under another name
        copy = first / f"copy of {index}.png"
        source = first / f"bild-{index} (1).png"
        if source.exists():
            copy.write_bytes(source.read_bytes())
    (first / "@eaDir").mkdir()  # what a network disk leaves
    Image.new("L", (8, 8)).save(first / "@eaDir" / "SYNOFILE_THUMB_M.png")
    (first / "Thumbs.db").write_bytes(b"\0" * 100)
    for index in range(30):
        (first / f"bild-{index}.json").write_text("{}")
    (first / "half.jpg").write_bytes((first / "IMG 4.jpg").read_bytes()[:300])
    assert len(PLACES) > len(NAMES)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messy(tmp_path_factory.mktemp("messy") / "pictures")


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    """Stopped by Ctrl-C once, and continued."""
    place = root.parent / "model"
    command = ["fit", root / "train", "-o", place, *FIT[:3], "3000", *FIT[4:]]
    words = [sys.executable, "-c", "from knowbound.cli import main; main()", *map(str, command)]
    running = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts its background jobs with the signal ignored
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while running.poll() is None and not list(place.glob("checkpoint*")):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 130
    assert f"--resume continues from {place}" in said
    assert "Traceback" not in said
    refused = knowbound(*command)
    assert refused.returncode == 2
    assert "continue it with --resume" in refused.stderr
    done = knowbound("fit", root / "train", "-o", place, *FIT, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "3 classes, " in done.stdout
    assert f"{NAMES[2]} 6" in done.stdout
    assert "copies of another" in done.stdout
    assert "between " in done.stdout
    assert sum(".json" in line for line in done.stderr.splitlines()) == 1  # of thirty files
    assert "half.jpg" in done.stderr
    return place


def test_a_split_folder_is_recognised_and_the_right_command_named(root: Path) -> None:
    refused = knowbound("fit", root, "-o", root.parent / "no", *FIT)
    assert refused.returncode == 2
    assert f"knowbound fit {root / 'train'}" in refused.stderr.replace("'", "")
    assert not (root.parent / "no" / "model.json").exists()


def test_a_list_from_a_spreadsheet_is_judged_and_not_overwritten(root: Path, model: Path) -> None:
    listed = root / "list.csv"
    names = [f"test\\{name}\\bild-0 (1).png" for name in NAMES]
    listed.write_bytes("\r\n".join(["image_id;label", *(f"{n};x" for n in names)]).encode("utf-16"))
    before = listed.read_bytes()
    lost = knowbound("predict", model, listed, "-o", listed)
    assert lost.returncode == 2
    assert listed.read_bytes() == before
    done = knowbound("predict", model, listed, "-o", "-")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [Path(row["path"]).parent.name for row in rows] == list(NAMES)
    assert all(row["verdict"] for row in rows)


def test_phone_pictures_are_upright(root: Path, model: Path) -> None:
    said = knowbound("predict", model, root / "test" / NAMES[0], "-o", "-")
    rows = list(csv.DictReader(said.stdout.splitlines()))
    phone = [row for row in rows if row["path"].endswith(".jpg")]
    assert phone
    assert all(row["nearest_class"] == NAMES[0] for row in phone)


def test_the_evaluation_names_what_was_seen_before(root: Path, model: Path) -> None:
    place = root.parent / "report"
    done = knowbound("evaluate", model, "--known", root / "train", "-o", place)
    assert done.returncode == 0, done.stderr
    assert "learned from in training" in done.stderr
    assert (place / "report.html").exists()


def test_a_full_disk_in_the_middle_is_one_sentence(root: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full to write to")
    link = root.parent / "full.csv"
    link.symlink_to("/dev/full")

    def write_all() -> None:
        with table_writer(link) as write:
            for number in range(2000):
                write(Prediction(str(number), None, error="unreadable"))

    with pytest.raises(UserError, match="no space left on device"):
        write_all()

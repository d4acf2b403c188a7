"""Photographs for tests, an audition's stage of them, and a small network to freeze."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from knowbound.backbones import LeNet
from knowbound.building.frozen import FrozenNetwork
from knowbound.data.feature_cache import FeatureCache
from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import list_pictures
from knowbound.data.preprocessing import Preprocessing
from knowbound.workflows.audition.stage import Stage, sample_listing, set_stage
from knowbound.workflows.plan import Plan, plan_fit
from knowbound.workflows.settings import Settings

COLOURS = ("red", "green", "blue", "gold")


def write_photographs(folder: Path, per_class: int, seed: int = 0, size: int = 80) -> Path:
    """Pictures of ``size`` x ``size + 20`` pixels: a box in the colour of its class, on a ground
    that is another one in every picture."""
    rng = np.random.default_rng(seed)
    for name in COLOURS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(per_class):
            ground = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            picture = Image.fromarray(ground).resize((size + 20, size))
            left, top = (int(place) for place in rng.integers(size // 3, size=2))
            picture.paste(name, (left, top, left + size // 2, top + size // 2))
            picture.save(folder / name / f"{'abcdefghijklmnopqrstuvwxyz'[index]}.png")
    return folder


def planned(known: Path, **settings: Any) -> Plan:
    """What ``fit`` would do with a folder."""
    return plan_fit(known, settings=Settings(**settings))


def staged(photographs: Path) -> Stage:
    """Of the 32 pictures, 24 are given to a frozen network."""
    small = read_folder(photographs, Preprocessing(20, 20, 3), classes=True)
    sub = sample_listing(list_pictures(photographs, classes=True), 24)
    large = read_folder(photographs, Preprocessing(64, 64, 3), classes=True, listing=sub)
    stage = set_stage(small, large, "none", seed=0)
    assert stage is not None
    return stage


def lenet(folder: Path) -> FrozenNetwork:
    """Its cache is in ``folder``."""
    return FrozenNetwork(
        LeNet(4, channels=3, height=64, width=64), "lenet", 64, "float32", FeatureCache(folder)
    )

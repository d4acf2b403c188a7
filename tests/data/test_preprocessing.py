"""Pictures become the images a slow computation has; what is saved is read back; what is unknown is
said."""

import numpy as np
import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing, UnknownRangeError, to_colour_or_grey
from knowbound.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
TWELVE_BITS = RNG.integers(0, 4096, (6, 5)).astype(np.uint16)


def test_a_full_range_is_that_of_16_bits() -> None:
    image = Preprocessing(6, 5, 1)(Image.fromarray(TWELVE_BITS))
    np.testing.assert_array_equal(image[0], np.round(TWELVE_BITS / 65535 * 255))
    assert image.max() <= 16


@pytest.mark.parametrize("make", [Image.fromarray, lambda v: v, lambda v: v[..., None]])
@pytest.mark.parametrize("ends", [(0, 4095), (100.5, 3000), (0, 255)])
def test_a_range_becomes_0_to_255_and_cuts_at_its_ends(
    make: object, ends: tuple[float, float]
) -> None:
    image = Preprocessing(6, 5, 1, range=ends)(make(TWELVE_BITS))  # type: ignore[operator]
    for row in range(6):
        for column in range(5):
            value = min(max(float(TWELVE_BITS[row, column]), ends[0]), ends[1])
            assert image[0, row, column] == round((value - ends[0]) * 255 / (ends[1] - ends[0]))


def test_eight_bits_stay_as_they_are_in_any_range() -> None:
    for picture in (Image.fromarray(RGB), RGB):
        image = Preprocessing(12, 20, 3, range=(0, 4095))(picture)
        np.testing.assert_array_equal(image, RGB.transpose(2, 0, 1))


def test_floats_need_a_range_and_what_is_no_number_is_dark() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]], dtype=np.float32)
    with pytest.raises(UnknownRangeError, match=r"floating-point pixels in 0\.\.1, .*--range auto"):
        Preprocessing(2, 2, 1)(Image.fromarray(values))
    image = Preprocessing(2, 2, 1, range=(0, 1))(Image.fromarray(values))
    assert image[0].tolist() == [[0, 128], [255, 0]]


def test_values_in_three_bands_are_colours_and_a_fourth_is_alpha() -> None:
    colours = RNG.random((4, 4, 3)).astype(np.float32)
    image = Preprocessing(4, 4, 3, range=(0, 1))(colours)
    np.testing.assert_array_equal(image, np.round(colours * 255).transpose(2, 0, 1))
    alpha = np.zeros((4, 4, 1), np.float32)
    alpha[:2] = 1
    covered = Preprocessing(4, 4, 3, range=(0, 1), background="black")(
        np.concatenate([colours, alpha], axis=2)
    )
    np.testing.assert_array_equal(covered[:, :2], image[:, :2])
    assert (covered[:, 2:] == 0).all()


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
def test_the_background_lies_under_what_is_transparent(background: str, level: int) -> None:
    half = np.full((2, 2, 4), 255, np.uint8)
    half[0, :, 3] = 0
    half[1, 1] = (200, 100, 50, 128)
    image = Preprocessing(2, 2, 3, background=background)(Image.fromarray(half))  # type: ignore[arg-type]
    assert (image[:, 0] == level).all()
    assert (image[:, 1, 0] == 255).all()
    mixed = [round(c * 128 / 255 + level * 127 / 255) for c in (200, 100, 50)]
    assert np.abs(image[:, 1, 1].astype(int) - mixed).max() <= 1


def test_stretching_takes_the_whole_picture() -> None:
    image = Preprocessing(8, 8, 3)(Image.fromarray(RGB))
    slow = np.asarray(Image.fromarray(RGB).resize((8, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(image, slow.transpose(2, 0, 1))


def test_cropping_keeps_the_aspect_and_the_centre() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = RGB[:10, :10]
    image = Preprocessing(10, 10, 3, fit="crop")(Image.fromarray(wide))
    np.testing.assert_array_equal(image, RGB[:10, :10].transpose(2, 0, 1))
    high = Preprocessing(10, 10, 3, fit="crop")(Image.fromarray(wide.transpose(1, 0, 2).copy()))
    np.testing.assert_array_equal(high, RGB[:10, :10].transpose(2, 1, 0))


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
def test_padding_keeps_the_aspect_and_the_whole_picture(background: str, level: int) -> None:
    image = Preprocessing(20, 20, 3, fit="pad", background=background)(  # type: ignore[arg-type]
        Image.fromarray(RGB)
    )
    np.testing.assert_array_equal(image[:, 4:16], RGB.transpose(2, 0, 1))
    assert (image[:, :4] == level).all()
    assert (image[:, 16:] == level).all()
    narrow = Preprocessing(4, 40, 1, fit="pad")(Image.new("L", (1000, 1), 7))
    assert narrow.shape == (1, 4, 40)
    assert (narrow == 7).sum() == 40


def test_what_is_to_be_measured_is_not_guessed() -> None:
    for open_setting in ({"range": "auto"}, {"background": "auto"}):
        unsettled = Preprocessing(4, 4, 1, **open_setting)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="still to be measured"):
            unsettled(Image.new("L", (4, 4)))
        assert unsettled.settle((0, 5), "black").is_settled
    kept = Preprocessing(4, 4, 1, range=(1, 2), background="auto").settle((0, 5), "black")
    assert (kept.range, kept.background) == ((1, 2), "black")


@pytest.mark.parametrize("value_range", ["full", "auto", (0, 4095), (-1.5, 2.5)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_the_settings_survive_being_saved(value_range: object, fit: str) -> None:
    import json

    made = Preprocessing(3, 4, 1, value_range, "black", fit)  # type: ignore[arg-type]
    assert Preprocessing.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_models_saved_before_there_were_ranges_are_read() -> None:
    old = {"height": 28, "width": 30, "channels": 3, "resampling": "antialiased bilinear"}
    assert Preprocessing.from_dict(old) == Preprocessing(28, 30, 3, "full", "white", "stretch")
    with pytest.raises(ValueError, match="resampling 'nearest' is unknown"):
        Preprocessing.from_dict({**old, "resampling": "nearest"})
    with pytest.raises(ValueError, match="a fit of 'tile'"):
        Preprocessing.from_dict({**old, "fit": "tile"})


@pytest.mark.parametrize(
    "settings",
    [
        {"height": 0},
        {"channels": 2},
        {"range": (5, 5)},
        {"range": (6, 5)},
        {"range": (0, float("inf"))},
        {"range": "half"},
        {"range": (1,)},
        {"background": "grey"},
        {"fit": "tile"},
    ],
)
def test_settings_that_cannot_be_are_said(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="was asked for; expected"):
        Preprocessing(**{"height": 4, "width": 4, "channels": 1, **settings})  # type: ignore[arg-type]


def test_integers_beyond_16_bits_are_refused_in_full_and_shown_in_a_range() -> None:
    values = np.array([[-10, 100_000]], dtype=np.int32)
    with pytest.raises(UnknownRangeError, match=r"integer pixels in -10\.\.100000"):
        to_colour_or_grey(Image.fromarray(values), 1)
    shown = to_colour_or_grey(Image.fromarray(values), 1, (-10, 100_000))
    assert np.asarray(shown).tolist() == [[0, 255]]

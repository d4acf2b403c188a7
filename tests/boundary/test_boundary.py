"""Calibration, judging, and what saving and loading refuse."""

import hashlib
import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from knowbound.backbones import LeNet
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.domain import Domain, PlainDomain
from knowbound.boundary.together import with_detectors
from knowbound.data.outs.anomalies import usual_anomalies
from knowbound.data.outs.recoloured import recoloured_images
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.labels import Decision
from knowbound.model_folder.description import DESCRIPTION
from knowbound.product.onnx_export import export
from tests.samples import blobs

SHAPE = Preprocessing(16, 16, 1)


def boundary(acceptance: float = 0.9, detector: Detector | None = None) -> Boundary:
    """Untrained: judging, saving and loading do not need a good embedding."""
    torch.manual_seed(0)
    network = LeNet(embedding=3, logits=3, height=16, width=16, hidden=16)
    source = blobs()
    made = Boundary(
        network,
        detector or NearestCentre(),
        SHAPE,
        source.class_names,
        acceptance=acceptance,
        about={"a": [1]},
    )
    return made.learn(source).calibrate(blobs(seed=1))


@pytest.mark.parametrize("acceptance", [0.5, 0.9, 0.95])
def test_threshold_and_p_values_are_those_of_the_held_out_images(acceptance: float) -> None:
    """Split-conformal: p = (1 + #{held-out scores as high}) / (n + 1), known iff p > 1 - a."""
    found = boundary(acceptance)
    held = found.judge(blobs(seed=1)).score
    needed = math.ceil((len(held) + 1) * acceptance - 1e-9)
    (threshold,) = found.threshold.thresholds.tolist()
    assert threshold == pytest.approx(sorted(held)[needed - 1], rel=1e-12)
    queries = blobs(seed=2, classes=5)
    judgement = found.judge(queries)
    for score, p_value, decision in zip(
        judgement.score, judgement.p_value, judgement.decision, strict=True
    ):
        slow = (1 + sum(other >= score for other in held)) / (1 + len(held))
        assert p_value == pytest.approx(slow)
        assert (decision == 0) == (p_value > 1 - acceptance)
        assert (decision == 0) == (score <= threshold)


@pytest.mark.parametrize("channels", [1, 3])
def test_known_images_in_other_colours_teach_the_domain_score(channels: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(30, channels, 16, 16)).astype(np.uint8)
    pixels[:, 0] //= 4
    source = Source("known", pixels, np.arange(30) % 3, ("a", "b", "c"))
    network = LeNet(embedding=3, channels=channels, height=16, width=16, hidden=16)
    found = Boundary(network, NearestCentre(), Preprocessing(16, 16, channels), ("a", "b", "c"))
    found.learn(source)

    def stages(images: Source) -> torch.Tensor:
        return torch.cat([found.outputs(part).get("stages") for part in found.batches(images)])

    near = None
    if channels == 3:
        near = torch.cat([*map(stages, recoloured_images(source, 30, np.random.default_rng(0)))])
    far = stages(usual_anomalies(source.image_shape, 2000))
    expected = Domain().fit(stages(source), torch.from_numpy(source.labels), near, far)
    torch.testing.assert_close(found.domain.weight, expected.weight)
    if channels == 3:
        alone = Domain().fit(stages(source), torch.from_numpy(source.labels), None, far)
        assert not torch.allclose(found.domain.weight, alone.weight, rtol=0.01)


def test_known_is_score_at_most_threshold_and_the_rest_is_split_by_the_domain_score() -> None:
    found = boundary()
    noise = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16), dtype=np.uint8)
    images = np.concatenate([blobs(seed=2).pixels[:], noise])
    judgement = found.judge(images)
    stages = found.outputs(torch.from_numpy(images).float() / 255).get("stages").double()
    powers = torch.where(stages < 0, -((-stages) ** 0.7), stages**0.7)
    domain = powers @ found.domain.weight + found.domain.bias
    np.testing.assert_allclose(judgement.domain_score, domain, rtol=1e-3, atol=1e-3)
    for score, decision, sort in zip(
        judgement.score, judgement.decision, judgement.domain_score, strict=True
    ):
        if score <= float(found.threshold.thresholds):
            assert decision == 0
        else:
            assert decision == (1 if sort <= float(found.domain.threshold) else 2)
    assert (judgement.decision[-40:] == 2).mean() > 0.8  # noise is another kind of picture


def test_centres_are_the_means_over_all_training_images() -> None:
    found = boundary()
    source = blobs()
    embeddings = found.judge(source).embedding
    for label in range(3):
        expected = embeddings[source.labels == label].mean(axis=0)
        np.testing.assert_allclose(found.detector.centres[label].numpy(), expected, rtol=1e-4)


def test_verdicts_name_the_class_of_known_images_only() -> None:
    found = boundary()
    pictures = [Image.fromarray(image[0]).resize((40, 40)) for image in blobs(seed=3).pixels[:10]]
    verdicts = found.predict([*pictures, Image.fromarray(np.zeros((9, 9, 3), np.uint8))])
    assert len(verdicts) == 11
    for verdict in verdicts:
        assert verdict.nearest_class in found.class_names
        assert (verdict.decision is Decision.KNOWN) == (verdict.score <= verdict.threshold)
        assert verdict.class_name == (
            verdict.nearest_class if verdict.decision is Decision.KNOWN else None
        )
    assert found.predict([]) == []


def test_predict_takes_arrays_and_paths_alike(tmp_path: Path) -> None:
    found = boundary()
    array = blobs(seed=4).pixels[0][0]
    Image.fromarray(array).save(tmp_path / "a.png")
    first, *others = found.predict([array, tmp_path / "a.png", str(tmp_path / "a.png")])
    for other in others:
        assert other.score == pytest.approx(
            first.score, rel=1e-4
        )  # an image's place in the batch moves its last digits
        assert replace(other, score=first.score, domain_score=first.domain_score) == first
    with pytest.raises(UserError, match="missing.png cannot be used"):
        found.predict([tmp_path / "missing.png"])


@pytest.mark.parametrize("detector", [NearestCentre, MaxSoftmax])
def test_a_saved_boundary_judges_the_same(detector: type[Detector], tmp_path: Path) -> None:
    found = boundary(detector=detector())
    found.save(tmp_path / "model")
    again = Boundary.load(tmp_path / "model")
    source = blobs(seed=5)
    for one, other in zip(found.judge(source), again.judge(source), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert (again.class_names, again.preprocessing, again.acceptance) == (
        found.class_names,
        SHAPE,
        0.9,
    )
    assert again.about == {"a": [1]}
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names[:3] == ["card.json", "card.md", "model-" + names[2][6:]]
    assert names[2].endswith(".safetensors")
    assert names[3:] == [DESCRIPTION]
    for name in names[:2]:  # for readers: a model is read and checked without them
        (tmp_path / "model" / name).unlink()
    assert Boundary.load(tmp_path / "model").class_names == found.class_names


def edit(folder: Path, **changes: object) -> None:
    """Change the description and renew its checksum, as a later version of the program would."""
    description = json.loads((folder / DESCRIPTION).read_text())
    description.pop("description_sha256")
    description |= changes
    content = json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    description["description_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / DESCRIPTION).write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 3}, "knowbound-model 3.*install the version that wrote it"),
        ({"format": "other"}, "has the format other"),
        ({"backbone": {"name": "os.system", "settings": {}}}, "backbone 'os.system' is unknown"),
        ({"detector": {"name": "new", "settings": {}}}, "detector 'new' is unknown"),
        (
            {"backbone": {"name": "lenet", "settings": {"dimension": 3}}},
            "no model this version can build",
        ),
        ({"preprocessing": {"resampling": "lanczos"}}, "resampling 'lanczos' is unknown"),
    ],
)
def test_loading_refuses_what_it_does_not_know(
    changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    boundary().save(tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(UserError, match=words):
        Boundary.load(tmp_path)


def test_loading_refuses_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no model in"):
        Boundary.load(tmp_path / "nowhere")
    boundary().save(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="checksum"):
        Boundary.load(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        Boundary.load(tmp_path)
    text = (tmp_path / DESCRIPTION).read_text()
    (tmp_path / DESCRIPTION).write_text(text.replace('"place 0"', '"place 9"'))
    with pytest.raises(UserError, match="was changed or damaged"):
        Boundary.load(tmp_path)
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(UserError, match="is not the description of a model"):
        Boundary.load(tmp_path)


def test_a_model_keeps_the_kind_of_its_domain_score(tmp_path: Path) -> None:
    """Models of format 2 that were written before powers were taken judge as they did."""
    earlier, source = boundary(), blobs()
    earlier.learn(source).calibrate(source)
    state = earlier.domain.state_dict()
    earlier.domain = PlainDomain()
    for name, value in state.items():
        setattr(earlier.domain, name, value)
    earlier.save(tmp_path)
    assert json.loads((tmp_path / DESCRIPTION).read_text())["domain"] == "stages"
    loaded, today = Boundary.load(tmp_path), boundary()
    assert type(loaded.domain) is PlainDomain
    stages = earlier.outputs(torch.from_numpy(source.pixels[:9]).float() / 255).get("stages")
    by_hand = stages.double() @ state["weight"] + state["bias"]
    judged = loaded.judge(source).domain_score
    np.testing.assert_allclose(judged[:9], by_hand, rtol=1e-3, atol=1e-3)
    today.save(tmp_path)
    assert type(Boundary.load(tmp_path).domain) is Domain


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    boundary().save(tmp_path)
    edit(tmp_path, weights="../other/model.safetensors")
    with pytest.raises(UserError, match="expected a file of its own folder"):
        Boundary.load(tmp_path)


def test_a_reader_sees_one_model_whole_while_another_is_saved(tmp_path: Path) -> None:
    first, second = boundary(), boundary(detector=MaxSoftmax())
    first.save(tmp_path)
    stop = threading.Event()

    def save_in_turn() -> None:
        while not stop.is_set():
            second.save(tmp_path)
            first.save(tmp_path)

    thread = threading.Thread(target=save_in_turn)
    thread.start()
    try:
        kinds = {type(Boundary.load(tmp_path).detector) for _ in range(40)}
    finally:
        stop.set()
        thread.join()
    assert kinds <= {NearestCentre, MaxSoftmax}


def test_a_network_of_ones_own_works_and_says_it_cannot_be_saved(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    found = (
        Boundary(own, NearestCentre(), SHAPE, ("a", "b", "c"))
        .learn(blobs())
        .calibrate(blobs(seed=1))
    )
    assert len(found.judge(blobs(seed=2).pixels[:5]).score) == 5
    with pytest.raises(UserError, match="Sequential cannot be saved"):
        found.save(tmp_path)


def test_too_few_held_out_images_for_the_acceptance() -> None:
    few = blobs().take(np.arange(18))
    with pytest.raises(UserError, match="18 held-out images.*at least 19"):
        Boundary(
            LeNet(embedding=3, height=16, width=16), NearestCentre(), SHAPE, blobs().class_names
        ).learn(blobs()).calibrate(few)


def test_no_image_to_learn_from_or_to_calibrate_with_is_one_sentence() -> None:
    fresh = boundary()
    none = blobs(per_class=4).take(np.empty(0, dtype=np.int64))
    with pytest.raises(UserError, match="has no image to learn from"):
        fresh.learn(none)
    with pytest.raises(UserError, match="has no image to set the threshold from"):
        fresh.calibrate(none)
    fresh.learn(blobs(per_class=30), near=[none], far=[none])
    assert math.isfinite(fresh.domain_threshold)


def test_judging_before_calibration_or_in_another_shape_is_an_error() -> None:
    fresh = Boundary(
        LeNet(embedding=3, height=16, width=16), NearestCentre(), SHAPE, ("a", "b", "c")
    ).learn(blobs())
    with pytest.raises(ValueError, match="no threshold yet"):
        fresh.judge(blobs())
    wide = Source("w", np.zeros((2, 1, 16, 20), np.uint8), np.array([-1, -1]))
    with pytest.raises(ValueError, match=r"expected \(1, 16, 16\)"):
        boundary().judge(wide)


@pytest.mark.parametrize("acceptance", [0.0, 1.0, 95.0])
def test_acceptance_is_a_share(acceptance: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        Boundary(LeNet(embedding=3), NearestCentre(), SHAPE, ("a",), acceptance=acceptance)


def test_arrays_mean_the_same_in_every_type_or_are_refused() -> None:
    found = boundary()
    pixels = blobs(seed=2).images(slice(0, 1))[0, 0]
    expected = found.predict([pixels])[0].score
    for same in (
        pixels[:, :, None],
        pixels.astype(np.float64) / 255,
        (pixels / 255).astype(np.float32),
    ):
        assert found.predict([same])[0].score == pytest.approx(expected, abs=1e-5)
    for wrong in (
        pixels.astype(np.int64),
        pixels.astype(np.float64),
        pixels[None, None],
        np.stack([pixels] * 3),
        None,
        b"png",
    ):
        with pytest.raises(UserError, match="cannot be used"):
            found.predict([wrong])  # type: ignore[list-item]


def test_a_largest_error_is_promised_and_saved(tmp_path: Path) -> None:
    made = boundary().calibrate(blobs(seed=1), max_error=0.2)
    assert "at most 20% of the accepted ones will have the wrong class" in made.threshold.sentence()
    made.save(tmp_path / "model")
    loaded = Boundary.load(tmp_path / "model")
    assert loaded.threshold.max_error == 0.2
    other = Boundary.load(tmp_path / "model").adjust(0.8)
    assert (other.acceptance, other.threshold.max_error) == (0.8, None)
    plain = boundary(0.8)
    assert other.threshold.thresholds.tolist() == plain.threshold.thresholds.tolist()
    assert loaded.threshold.sentence() == made.threshold.sentence()
    description, tensors = made.describe(), made.state_dict()
    del tensors["threshold.error"]  # as in a model that was saved before there was such a promise
    assert Boundary.from_description(description, tensors).threshold.max_error is None


def test_a_boundary_is_fitted_calibrated_and_kept_in_its_number_format(tmp_path: Path) -> None:
    plain, learned = boundary(), blobs()
    held, queries = blobs(seed=1), blobs(seed=2, classes=5)
    made = Boundary(plain.backbone, NearestCentre(), SHAPE, plain.class_names, judging="bf16")
    made.learn(learned).calibrate(held)
    judged = made.judge(queries)
    rounded = torch.from_numpy(judged.embedding).bfloat16().float()
    assert (rounded.numpy() == judged.embedding).all()  # as numbers of bf16 are
    assert (plain.judge(queries).embedding != judged.embedding).mean() > 0.9
    learned_vectors = torch.from_numpy(made.judge(learned).embedding)
    means = [learned_vectors[learned.labels == c].mean(dim=0) for c in range(3)]
    torch.testing.assert_close(made.detector.get_buffer("centres"), torch.stack(means))
    (threshold,) = made.threshold.thresholds.tolist()
    assert threshold == sorted(made.judge(held).score)[math.ceil(121 * 0.95) - 1]
    made.save(tmp_path / "model")
    loaded = Boundary.load(tmp_path / "model")
    assert loaded.judging == "bf16"
    np.testing.assert_array_equal(loaded.judge(queries).score, judged.score)
    (other,) = with_detectors(made, [NearestCentre()], learned, held)
    assert other.judge(queries).score == pytest.approx(judged.score, rel=1e-5)
    with pytest.raises(UserError, match="'int4' was asked for"):
        Boundary(plain.backbone, NearestCentre(), SHAPE, plain.class_names, judging="int4")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="judges in bf16 and an exported one in float32"):
        export(made, tmp_path / "m.onnx")

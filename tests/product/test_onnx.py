"""A model as one file: the same answers without torch, and a refusal of anything that was changed."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from knowbound.backbones import Backbone, Ensemble, LeNet, WideResNet
from knowbound.boundary import Boundary
from knowbound.data.pictures.parts import Files
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import DETECTORS, NearestCentre, Odin
from knowbound.errors import UserError
from knowbound.judgement import Verdict
from knowbound.model_folder.card import card_facts
from knowbound.product.any_model import load_model
from knowbound.product.int8_weights import round_weights
from knowbound.product.onnx_export import Int8Cost, export, export_int8
from knowbound.product.onnx_model import ExportedModel, read_about
from knowbound.product.serving.server import Settings
from knowbound.workflows.predict import COLUMNS, NUMBERS, predict_parts
from tests.product.serving.samples import png, running
from tests.samples import blobs, write_folder

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "scipy", "sklearn", "safetensors", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["knowbound", *sys.argv[1:]]
from knowbound.cli import main
main()
"""


def boundary(detector: str = "nearest_centre", logits: bool = False) -> Boundary:
    torch.manual_seed(0)
    source = blobs(40)
    heads = {"logits": 3} if logits else {"embedding": 4}
    network = LeNet(**heads, height=16, width=16)
    kind = DETECTORS[detector]
    made = Boundary(network, kind(), Preprocessing(16, 16, 1), source.class_names)
    return made.learn(source).calibrate(blobs(20, seed=1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Boundary, Path]:
    made, path = boundary(), tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert export(made, path, images=blobs(10, seed=2).images(slice(None))) == 30 + 256
    return made, path


def test_an_ensemble_is_one_graph(tmp_path: Path) -> None:
    networks: list[Backbone] = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(LeNet(embedding=4, height=16, width=16))
    made = Boundary(
        Ensemble.of(networks), NearestCentre(), Preprocessing(16, 16, 1), blobs(40).class_names
    )
    made.learn(blobs(40)).calibrate(blobs(20, seed=1))
    export(made, tmp_path / "model.onnx", images=blobs(10, seed=2).images(slice(None)))
    images = blobs(30, seed=3).images(slice(None))
    ours, theirs = made.judge(images), ExportedModel.load(tmp_path / "model.onnx").judge(images)
    assert theirs.embedding.shape == (90, 8)
    np.testing.assert_array_equal(theirs.decision, ours.decision)
    np.testing.assert_allclose(theirs.score, ours.score, rtol=1e-4, atol=1e-5)


def test_the_answers_are_those_of_the_boundary(exported: tuple[Boundary, Path]) -> None:
    made, path = exported
    model = ExportedModel.load(path)
    images = np.concatenate([blobs(70, seed=3).pixels[:], blobs(20, classes=1, first=4).pixels[:]])
    ours, theirs = made.judge(images), model.judge(images)
    np.testing.assert_array_equal(theirs.decision, ours.decision)
    np.testing.assert_array_equal(theirs.nearest, ours.nearest)
    for name in ("embedding", "score", "p_value", "domain_score"):
        np.testing.assert_allclose(
            getattr(theirs, name), getattr(ours, name), rtol=1e-4, atol=1e-5, err_msg=name
        )
    one = model.predict(images[0, 0])
    assert isinstance(one, Verdict)
    assert one.decision == made.predict(images[0, 0]).decision
    assert model.predict([]) == []
    batch = [image[0] for image in images[::6]]  # decided together: the same in both
    together = [[v.decision for v in one.predict(batch, fdr=0.3)] for one in (made, model)]
    assert together[0] == together[1]
    assert len(set(together[0])) > 1


def test_its_card_is_that_of_the_boundary(exported: tuple[Boundary, Path]) -> None:
    made, path = exported
    assert card_facts(read_about(path)) == card_facts(made.describe())


@pytest.mark.parametrize("detector", ["mahalanobis", "stage_mahalanobis", "centre_and_stages"])
def test_other_detectors(detector: str, tmp_path: Path) -> None:
    assert export(boundary(detector), tmp_path / "m.onnx") == 256


def test_without_a_domain_score(tmp_path: Path) -> None:
    source = blobs(40)
    made = boundary()
    made.learn(source, domain=False).calibrate(blobs(20, seed=1))
    export(made, tmp_path / "m.onnx")
    assert not (ExportedModel.load(tmp_path / "m.onnx").judge(source.pixels).decision == 2).any()


def test_linear_layers_on_tokens_are_kept_in_one_byte_too() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(32, 64), nn.Linear(64, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x).relu())

    onnx = pytest.importorskip("onnx")
    network = Tokens().eval()
    example = (torch.randn(2, 5, 32),)
    model = torch.onnx.export(network, example, None, dynamo=True, verbose=False).model_proto
    round_weights(model, onnx, network)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) == 2
    with pytest.raises(UserError, match="only 0 of the network's"):
        round_weights(model, onnx, Tokens())


def test_what_cannot_be_exported_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="KNearest on LeNet cannot be exported") as caught:
        export(boundary("k_nearest"), tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.onnx").exists()


def test_batch_norm_and_colour(tmp_path: Path) -> None:
    shape = Preprocessing(16, 16, 3)
    source, held = shape.apply(blobs(30)), shape.apply(blobs(20, seed=1))
    network = WideResNet(embedding=4, depth=10, widen=1)
    made = Boundary(network, NearestCentre(), shape, source.class_names)
    assert export(made.learn(source).calibrate(held), tmp_path / "m.onnx") == 256


def test_predict_needs_no_torch(exported: tuple[Boundary, Path], tmp_path: Path) -> None:
    made, path = exported
    write_folder(tmp_path / "new", blobs(3, seed=4))
    words = ["predict", str(path), str(tmp_path / "new"), "-o", "-"]
    (tmp_path / "home").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
    # onnxruntime sends events to its maker and keeps an identifier there, unless it is told not to
    assert not list((tmp_path / "home").iterdir())
    files = sorted((tmp_path / "new").rglob("*.png"))
    said = {row.split(",")[0]: row.split(",")[1] for row in ran.stdout.splitlines()[1:]}
    assert said == {str(f): str(made.predict(f).decision) for f in files}


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for column in COLUMNS:
        exact = column not in NUMBERS or theirs[column] is None
        close = theirs[column] if exact else pytest.approx(theirs[column], 1e-5)
        assert ours[column] == close, column


def test_a_service_gives_the_rows_of_predict(
    exported: tuple[Boundary, Path], tmp_path: Path
) -> None:
    made, path = exported
    made.save(tmp_path / "model")
    write_folder(tmp_path / "new", blobs(4, classes=2, seed=4))
    (tmp_path / "new" / "bad.png").write_bytes(b"no picture")
    files = sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file())
    sent = [(str(one), one.read_bytes()) for one in files]
    with running({"folder": tmp_path / "model", "file": path}, Settings(port=0)) as found:
        for name, place in found.server.paths.items():
            rows = [row.row() for row in predict_parts(load_model(place), [Files(tuple(files))])]
            said = found.predict(*sent, query=f"?model={name}").said
            assert said["model"] == name
            for ours, theirs in zip(said["verdicts"], rows, strict=True):
                assert tuple(ours) == COLUMNS
                same(ours, theirs)


def test_serve_needs_no_torch_and_ends_well(exported: tuple[Boundary, Path]) -> None:
    words = ["serve", f"signs={exported[1]}", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_TORCH, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = process.stderr.readline()
    found = re.fullmatch(r"signs: http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", said)
    assert found, said + process.stderr.read()
    connection = http.client.HTTPConnection("127.0.0.1", int(found.group(1)), timeout=20)
    connection.request("POST", "/v1/predict", png(blobs(1).pixels[0]))
    answer = json.loads(connection.getresponse().read())
    assert answer["verdicts"][0]["nearest_class"] == "place 0"
    connection.close()
    process.send_signal(signal.SIGTERM)
    lines, rest = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert [json.loads(line)["status"] for line in lines.splitlines()] == [200]


def test_what_cannot_be_served_is_a_sentence(
    exported: tuple[Boundary, Path], tmp_path: Path
) -> None:
    exported[0].save(tmp_path / "model")
    changed = bytearray(next((tmp_path / "model").glob("*.safetensors")).read_bytes())
    changed[-1] ^= 1
    next((tmp_path / "model").glob("*.safetensors")).write_bytes(changed)

    def refused(path: Path, **settings: Any) -> str:
        with pytest.raises(UserError) as caught, running({"m": path}, Settings(**settings)):
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "checksum" in refused(tmp_path / "model", port=0)
    assert "missing.onnx" in refused(tmp_path / "missing.onnx", port=0)
    described = tmp_path / "model" / "model.json"
    newer = described.read_text().replace('"format_version": 2', '"format_version": 3')
    described.write_text(newer)
    assert "install the version that wrote it" in refused(tmp_path / "model", port=0)
    next((tmp_path / "model").glob("*.safetensors")).unlink()
    assert refused(tmp_path / "model", port=0)
    described.unlink()
    assert "model.json" in refused(tmp_path / "model", port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be listened on (address already in use);" in refused(
            tmp_path / "model", port=port
        )


def test_training_without_torch_says_what_to_install(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", blobs(3))
    words = ["fit", str(tmp_path / "in"), "-o", str(tmp_path / "m")]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "pip install 'knowbound[train]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_detector_that_needs_gradients_is_refused(tmp_path: Path) -> None:
    made = boundary("max_softmax", logits=True)
    made.detector = Odin()
    with pytest.raises(UserError, match="gradient"):
        export(made, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"mine")
    with pytest.raises(UserError, match="--overwrite"):
        export(boundary(), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == b"mine"


def test_a_changed_byte_is_noticed_wherever_it_is(
    exported: tuple[Boundary, Path], tmp_path: Path
) -> None:
    content = exported[1].read_bytes()
    rng = np.random.default_rng(0)
    places = [0, len(content) - 1, *rng.integers(len(content), size=30).tolist()]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "m.onnx").write_bytes(changed)
        with pytest.raises(UserError):
            ExportedModel.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UserError):
        ExportedModel.load(tmp_path / "m.onnx")


def test_weights_of_one_byte_and_what_they_cost(
    exported: tuple[Boundary, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = exported
    small, tried = tmp_path / "small.onnx", blobs(20, seed=3)
    images, labels = tried.images(slice(None)), tried.labels.copy()
    labels[:5] = -1
    cost = export_int8(made, small, images, labels)
    rounded = Boundary.from_description(made.describe(), made.state_dict())
    with torch.no_grad():  # the slow way: every channel of every layer by itself
        for layer in rounded.backbone.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.numel() >= 256:
                for channel in layer.weight:
                    step = channel.abs().max() / 127
                    channel.copy_((channel / step).round() * step)
    ours, theirs = rounded.judge(images), ExportedModel.load(small).judge(images)
    np.testing.assert_allclose(theirs.score, ours.score, rtol=1e-4)
    before = made.judge(images)
    assert (np.abs(theirs.score / before.score - 1) > 1e-4).mean() > 0.5
    answers = [np.where(one.decision == 0, one.nearest, -one.decision) for one in (before, theirs)]
    assert cost == Int8Cost(
        images=60,
        same=float((answers[0] == answers[1]).mean()),
        accepted=float((before.decision == 0).mean()),
        accepted_int8=float((theirs.decision == 0).mean()),
        right=float((answers[0] == labels)[5:].mean()),
        right_int8=float((answers[1] == labels)[5:].mean()),
    )
    assert read_about(small)["int8"]["same"] == cost.same
    weights = 4 * sum(p.numel() for p in made.backbone.parameters())
    assert path.stat().st_size - small.stat().st_size > 0.7 * weights
    monkeypatch.setattr("knowbound.product.onnx_export.MOST_CHANGED", -0.01)
    with pytest.raises(UserError, match="so it was not written; export without --int8"):
        export_int8(made, tmp_path / "none.onnx", images)
    assert not (tmp_path / "none.onnx").exists()

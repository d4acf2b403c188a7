"""The command line as a user meets it: what it prints, what it writes, and its exit codes.  In a
process of its own only where it is killed, or must not load torch."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from knowbound.boundary import Boundary
from knowbound.cli import main
from knowbound.detectors.choice import detectors_for
from tests.command import knowbound
from tests.product.test_onnx import WITHOUT_TORCH
from tests.samples import blobs, write_folder

FIT = ("--size", "16", "--steps", "30", "--precision", "float32", "--no-synthetic")
METRIC = ("stages", "features", "embedding")
"""What a network trained with a metric loss gives."""


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of known classes with a bad file, outliers, test images, novelties, noise, and a
    model fitted on them."""
    root = tmp_path_factory.mktemp("cli")
    write_folder(root / "known", blobs(per_class=40))
    (root / "known" / "place 0" / "broken.png").write_bytes(b"\x89PNG nothing")
    write_folder(root / "outs", blobs(per_class=40, first=3, classes=1).without_labels())
    write_folder(root / "test", blobs(per_class=15, seed=9))
    write_folder(root / "new", blobs(per_class=20, seed=9, first=4, classes=1).without_labels())
    (root / "noise").mkdir()
    for index in range(20):
        Image.effect_noise((16, 16), 200).save(root / "noise" / f"{index}.png")
    done = knowbound("fit", root / "known", "--outliers", root / "outs", "-o", root / "model", *FIT)
    assert done.returncode == 0, done.stderr
    assert "3 classes, 120 images: place 0 40, place 1 40, place 2 40; 40 outliers." in done.stdout
    assert one_line(done.stderr).count("broken.png") == 1
    return root


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [({}, "passive", "2000"), ({"OMP_WAIT_POLICY": "active"}, "active", None)],
    ids=["nothing asked for", "a policy of the user's"],
)
def test_waiting_threads_spin_shortly(
    given: dict[str, str], policy: str, spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = given.copy()
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr(sys, "argv", ["knowbound", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert environment["OMP_WAIT_POLICY"] == policy
    assert environment.get("GOMP_SPINCOUNT") == spins


def test_help_teaches_by_example() -> None:
    assert "known (and which class), novelty or anomaly" in one_line(knowbound("--help").stdout)
    for command in ("demo", "fit", "predict", "evaluate"):
        text = knowbound(command, "--help").stdout
        assert "Example" in text
        assert f"knowbound {command}" in text


def test_predict_on_the_terminal_and_into_a_table(place: Path) -> None:
    shown = knowbound("predict", place / "model", place / "test" / "place 0" / "0.png")
    assert shown.returncode == 0, shown.stderr
    assert "place 0" in shown.stdout
    assert "1 file: " in shown.stderr
    done = knowbound(
        "predict", place / "model", place / "known", place / "noise", "-o", place / "out.jsonl"
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 121 + 20
    broken = [row for row in rows if row["error"]]
    assert [Path(row["path"]).name for row in broken] == ["broken.png"]
    assert sum(row["verdict"] == "known" for row in rows[:121]) > 80
    assert sum(row["verdict"] != "known" for row in rows[121:]) > 15
    assert "1 that could not be read" in done.stdout


def test_evaluate_writes_rows_and_a_report(place: Path) -> None:
    named = ("--novelty", f"new={place / 'new'}", "--anomaly", f"noise={place / 'noise'}")
    done = knowbound(
        *("evaluate", place / "model", "--known", place / "test", *named, "-o", place / "report"),
        *("--cost", "known-as-novelty=1,novelty-as-known=10", "--cost", "anomaly-as-known=5"),
    )
    assert done.returncode == 0, done.stderr
    assert "At these costs 1,000 such pictures cost" in done.stdout
    rows = [json.loads(line) for line in (place / "report" / "rows.jsonl").read_text().splitlines()]
    assert {(row["out_dist"], row["kind"], row["convention"]) for row in rows} == {
        (name, kind, convention)
        for name, kind in (("new", "novelty"), ("noise", "anomaly"))
        for convention in ("exact", "seed", "odin", "ccag", "openood")
    }
    assert all((row["n_in"], row["n_out"]) == (45, 20) for row in rows)
    assert rows[0]["provenance"]["data_sha256"].keys() == {"known", "new", "noise"}
    report = (place / "report" / "report.html").read_text()
    assert (
        f"knowbound adjust {place / 'model'} --acceptance 0.95 -o {place / 'model'}-0.95" in report
    )
    assert "novelty-as-known 10" in report


def test_show_prints_the_card_without_torch_and_refuses_a_changed_model(
    place: Path, tmp_path: Path
) -> None:
    def show(model: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_TORCH, "show", str(model), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    shown = show(place / "model")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == (place / "model" / "card.md").read_text()
    assert "3 classes: place 0, place 1, place 2." in shown.stdout
    assert "get their class, nothing rejected" in shown.stdout
    facts = json.loads(show(place / "model", "--json").stdout)
    assert facts == json.loads((place / "model" / "card.json").read_text())
    shutil.copytree(place / "model", tmp_path / "changed")
    (weights,) = (tmp_path / "changed").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused = show(tmp_path / "changed")
    assert refused.returncode == 2
    assert "is damaged or of another model" in one_line(refused.stderr)


def test_adjust_sets_another_acceptance_without_training(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["knowbound", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert ended.value.code == (2 if shown.err else 0)
        return shown.out + shown.err

    new = ("-o", place / "careless")
    assert "The promise: between " in run("adjust", place / "model", "--acceptance", "0.8", *new)
    before, after = (Boundary.load(place / name).threshold for name in ("model", "careless"))
    assert float(after.thresholds) < float(before.thresholds)
    assert float(after.acceptance) == 0.8
    again = run("adjust", place / "model", "--acceptance", "0.7", *new)
    assert "there is a model in" in again
    assert "--overwrite" in again
    told = run("adjust", place / "model", "--acceptance", "0.999", *new, "--overwrite")
    assert "expected at least 999 for an acceptance of 0.999" in told
    assert float(Boundary.load(place / "careless").threshold.acceptance) == 0.8
    known = ("--known", place / "test", "-o", place / "nothing")
    assert "a cost of 'cat' was given" in run(
        "evaluate", place / "model", *known, "--cost", "cat=1"
    )
    assert "expected MISTAKE=COST" in run("evaluate", place / "model", *known, "--cost", "cat")


def test_evaluate_compares_every_detector_the_network_can_have(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = knowbound(
        "evaluate",
        place / "model",
        "--known",
        place / "test",
        "--novelty",
        f"new={place / 'new'}",
        "--detector",
        "all",
        "--fit-on",
        place / "known",
        "-o",
        place / "all",
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (place / "all" / "rows.jsonl").read_text().splitlines()]
    exact = {row["variant"]: row for row in rows if row["convention"] == "exact"}
    assert set(exact) == {"", *detectors_for(METRIC)}
    kept = json.loads((place / "model" / "model.json").read_text())["detector"]["name"]
    own, again = exact[""], exact[kept]
    # fitted on the same images as the saved one
    assert (own["auroc"], own["fpr95"], own["in_accuracy"]) == (
        again["auroc"],
        again["fpr95"],
        again["in_accuracy"],
    )
    assert (
        again["provenance"]["settings"]["threshold"] == own["provenance"]["settings"]["threshold"]
    )
    assert "fitted on" in again["provenance"]["data_sha256"]
    assert all(name in done.stdout for name in detectors_for(METRIC))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit", "{}/missing", "-o", "{}/m"), "does not exist"),
        (("fit", "{}/known", "-o", "{}/model"), "there is a model in"),
        (("fit", "{}/known", "-o", "{}/m", "--objective", "odm"), "asked for without outliers"),
        (("fit", "{}/noise", "-o", "{}/m"), "class"),
        (("fit", "{}/known", "-o", "{}/known/place 0/0.png/m", *FIT), "cannot be written"),
        (("fit", "{}/known", "-o", "{}/known/place 0/0.png"), "is a file, and a folder is needed"),
        (("fit", "{}/known", "-o", ""), "an empty name was given"),
        (("fit", "{}/known", "-o", "{}/m", "--memory", "nan"), "a memory of nan GB"),
        (("fit", "{}/known", "-o", "{}/m", "--memory", "0"), "a memory of 0 GB"),
        (("fit", "{}/known", "-o", "{}/m", "--size", "1000000"), "a side from 1 to 4096 pixels"),
        (("fit", "{}/known", "-o", "{}/m", "--outliers", "{}/known"), "as the known images"),
        (("fit", "{}/known", "-o", "{}/m", "--max-error", "0"), "such as 0.01"),
        (("fit", "{}/known", "-o", "{}/m", "--detector", "oracle"), "'oracle' is unknown"),
        (("fit", "{}/known", "-o", "{}/m", "--detector", "odin"), "--objective ce"),
        (("predict", "{}/outs", "{}/test"), "there is no model in"),
        (("predict", "{}/model", "{}/missing.png"), "does not exist"),
        (
            ("predict", "{}/model", "{}/test", "-o", "{}/out.xlsx"),
            "expected .csv, .jsonl, .parquet",
        ),
        (("predict", "{}/model", "{}/test", "-o", "{}/t.csv", "--fdr", "0"), "rate of 0.0"),
        (("predict", "{}/model", "{}/test", "--ray-address", "auto"), "--ray-address needs"),
        (("predict", "{}/model", "{}/test", "--resume"), "--resume needs a table to write"),
        (("predict", "{}/model", "{}/test", "-o", "-", "--ray"), "--ray needs a table to write"),
        (
            (
                "evaluate",
                "{}/model",
                "--known",
                "{}/test",
                "--novelty",
                "test={}/new",
                "-o",
                "{}/r",
            ),
            "give it another name",
        ),
        (
            (
                "evaluate",
                "{}/model",
                "--known",
                "{}/test",
                "--novelty",
                "a={}/new",
                "--fit-on",
                "{}",
                "-o",
                "{}/r",
            ),
            "--detector",
        ),
        (("fit", "{}/known", "-o", "{}/m", "--learning-rate", "-1"), "a learning rate of -1"),
        (
            ("evaluate", "{}/model", "--known", "{}/test", "--novelty", "{}/new", "-o", "{}/r"),
            "expected NAME=DIR",
        ),
        (
            ("evaluate", "{}/model", "--known", "{}", "--novelty", "a={}/new", "-o", "{}/r"),
            "which the model does not know",
        ),
        (
            (
                "evaluate",
                "{}/model",
                "--known",
                "{}/test",
                "--novelty",
                "a={}/new",
                "--detector",
                "all",
                "-o",
                "{}/r",
            ),
            "--fit-on",
        ),
        (("reproduce", "table3", "--data", "{}/missing", "--results", "{}/r"), "--download"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    words: Sequence[str],
    message: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["knowbound", *(word.format(place) for word in words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert message in one_line(errors)


def test_resume_after_sigkill_gives_the_model_of_an_uninterrupted_run(place: Path) -> None:
    arguments = (
        "fit",
        place / "known",
        "-o",
        place / "killed",
        "--size",
        "16",
        "--steps",
        "150",
        "--precision",
        "float32",
        "--no-synthetic",
    )
    whole = ("fit", place / "known", "-o", place / "whole", *arguments[4:])
    assert knowbound(*whole).returncode == 0
    command = [sys.executable, "-c", "from knowbound.cli import main; main()", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (place / "killed" / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert knowbound(*arguments, "--resume").returncode == 0
    weights = [
        [path.name for path in (place / name).glob("*.safetensors")] for name in ("killed", "whole")
    ]  # their names carry their hash
    assert weights[0] == weights[1] != []
    again = knowbound(*arguments, "--resume")
    assert again.returncode == 0
    assert "finished already" in again.stdout


def test_images_that_were_shown_in_training_are_called_seen_or_told(place: Path) -> None:
    done = knowbound(
        "evaluate",
        place / "model",
        "--known",
        place / "known",
        "--novelty",
        f"shown={place / 'outs'}",
        "--novelty",
        f"new={place / 'new'}",
        "-o",
        place / "seen",
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (place / "seen" / "rows.jsonl").read_text().splitlines()]
    assert {(row["out_dist"], row["seen"]) for row in rows} == {("shown", True), ("new", False)}
    assert "119 more of 120 pictures were learned from in training" in one_line(done.stderr)
    assert "39 more of 40 pictures were shown as outliers" in one_line(done.stderr)


def test_a_training_that_was_cut_off_is_not_started_anew_by_accident(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"something")
    done = knowbound("fit", place / "known", "-o", tmp_path, *FIT)
    assert done.returncode == 2
    assert "continue it with --resume" in one_line(done.stderr)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == b"something"

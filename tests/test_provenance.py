"""Where a number comes from."""

import datetime
import json
import subprocess
from pathlib import Path

import torch

import knowbound
from knowbound.provenance import commit, provenance

ROOT = Path(__file__).parents[1]


def test_everything_that_is_needed_to_repeat_a_number() -> None:
    settings, hashes = {"steps": 3}, {"train": "abc"}
    found = provenance(settings, hashes, "a machine")
    assert json.loads(json.dumps(found)) == found
    assert (found["settings"], found["data_sha256"], found["hardware"]) == (
        settings,
        hashes,
        "a machine",
    )
    assert found["version"] == knowbound.__version__
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    date = datetime.datetime.fromisoformat(found["date"])
    assert date.utcoffset() == datetime.timedelta(0)
    assert abs(datetime.datetime.now(datetime.UTC) - date) < datetime.timedelta(minutes=5)


def test_later_changes_of_the_settings_do_not_reach_it() -> None:
    settings = {"steps": 3}
    found = provenance(settings, {}, "")
    settings["steps"] = 4
    assert found["settings"] == {"steps": 3}


def test_the_commit_is_that_of_the_checkout_the_code_runs_from() -> None:
    def git(*words: str) -> str:
        words = ("git", "-C", str(ROOT), *words)
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    head = git("rev-parse", "HEAD")
    found = commit()
    if not head:  # an unpacked source distribution
        assert found is None
        return
    assert found is not None
    assert head.startswith(found.rstrip("+"))
    assert commit() is found  # asked once

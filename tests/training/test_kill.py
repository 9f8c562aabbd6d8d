"""kill -9 at any instant, inside saves too, costs no more than the work since the last checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start many trainings quickly")
def test_killed_trainings_end_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    command = [sys.executable, str(HERE / "kill_script.py"), str(tmp_path), "12", "7"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["inside"] == found["outside"] == 6
    starts = [line["from"] for line in found["killed"] if "from" in line]
    assert len(starts) >= 13 and max(starts) > 0
    assert not [line for line in found["killed"] if line.get("notes")]
    weights = {line["sha256"] for line in found["killed"] + found["whole"] if "sha256" in line}
    assert len(weights) == 1
    assert found["left"] == ["00000036", "00000040"]

"""What is tracked: no paths of one machine, no package registries, scripts for every bash, versions that agree."""

import hashlib
import importlib.metadata
import itertools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import unrolled

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SCRIPTS = sorted([*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"])

MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:root|home|Users|work|opt)/\w")
REGISTRY = re.compile(r"https?://[^\s\"'<>)]*(?:py[p]i|python[h]osted|ana[c]onda|npm[j]s|artifactory|/simple)")
NOT_IN_BASH_3 = re.compile(r"declare -A|local -A|mapfile|readarray|readlink -f|\$\{\w+(?:,,|\^\^|@)|&>>|\|&|realpath")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def found(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    hits = []
    for path in files:
        text = path.read_bytes().decode("utf-8", "replace")
        for match in pattern.finditer(text):
            hits.append(f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}")
    return hits


def test_no_tracked_file_names_a_place_on_one_machine():
    assert found(MACHINE_PATH, tracked()) == []


def test_no_tracked_file_names_a_package_registry():
    assert found(REGISTRY, tracked()) == []


def test_the_patterns_find_what_they_should(tmp_path: Path):
    bad = {
        MACHINE_PATH: "see /" + "root/x",
        REGISTRY: "http" + "s://py" + "pi.example/" + "simple",
        NOT_IN_BASH_3: "declare " + "-A x",
    }
    for pattern, text in bad.items():
        assert pattern.search(text)
    assert not REGISTRY.search("https://download.pytorch.org/whl/cpu")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_keep_to_bash_3(script: Path):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert found(NOT_IN_BASH_3, [script]) == []


def test_the_licence_is_the_standard_text():
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_versions_agree():
    assert unrolled.__version__ == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog and all(version <= PROJECT["version"] for version in released)


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_within_its_range(python: str):
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": ""}
    valid = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate(here)]
    exact = {canonicalize_name(pin.name): next(iter(pin.specifier)) for pin in valid}
    assert len(exact) == len(valid) and all(pin.operator == "==" for pin in exact.values())
    wanted = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in map(Requirement, itertools.chain(*wanted)):
        if requirement.name != "unrolled":
            assert requirement.specifier.contains(exact[canonicalize_name(requirement.name)].version), requirement


def test_everything_that_the_extras_bring_is_pinned():
    """Follows the requirements of the installed packages, so that an install is the same tomorrow."""
    pinned = {canonicalize_name(pin.name) for pin in pins()}
    waiting, seen = [Requirement("unrolled[dev]"), Requirement("scikit-build-core")], set[str]()
    while waiting:
        requirement = waiting.pop()
        key = f"{canonicalize_name(requirement.name)}{sorted(requirement.extras)}"
        if key in seen:
            continue
        seen.add(key)
        try:
            lines = importlib.metadata.requires(requirement.name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{requirement.name} is not installed: run scripts/setup.sh dev")
        for line in map(Requirement, lines):
            extras = requirement.extras or {""}
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line)
    names = {key.partition("[")[0] for key in seen} - {"unrolled"}
    assert names <= pinned, names - pinned

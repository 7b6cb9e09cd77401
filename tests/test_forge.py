"""The files for a public forge: they parse, and they agree with the package."""

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = sorted(
    [*(ROOT / ".github").rglob("*.yml"), *(ROOT / ".ci").rglob("*.yaml")]
    + [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml"]
)


def read(name):
    return yaml.safe_load((ROOT / ".github" / name).read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_yaml_parses(path):
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)


def test_the_matrix_covers_three_systems_and_both_ends_of_the_versions():
    matrix = read("workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert set(matrix["os"]) == {"ubuntu-latest", "windows-latest", "macos-latest"}
    oldest = [case["os"] for case in matrix["include"] if case["versions"] == "oldest"]
    assert set(oldest) == set(matrix["os"])
    tested = {*matrix["python"], *(case["python"] for case in matrix["include"])}
    assert ">=" + min(matrix["python"]) == PROJECT["requires-python"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert claimed and set(claimed) <= tested


@pytest.mark.parametrize("name", ["tests", "docs", "release"])
def test_workflows_may_only_read_and_hold_no_secret(name):
    """A stranger's pull request runs the first two; only the last job of a release may sign."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    workflow = read(f"workflows/{name}.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text and "pull_request_target" not in text
    given = {
        job: each["permissions"] for job, each in workflow["jobs"].items() if "permissions" in each
    }
    assert given == ({"publish": {"id-token": "write"}} if name == "release" else {})


def test_a_release_is_tested_before_it_is_published():
    jobs = read("workflows/release.yml")["jobs"]
    assert (jobs["test"]["needs"], jobs["publish"]["needs"]) == ("build", "test")
    assert jobs["publish"]["environment"] == "pypi"


def test_commands_of_the_workflows_name_files_that_exist():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for name in re.findall(r"(?:\.ci|tests)/[\w/.]+", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


@pytest.mark.parametrize("path", [".github/workflows/docs.yml", ".ci/run"])
def test_every_example_of_the_gallery_is_run_as_a_notebook(path):
    text = (ROOT / path).read_text("utf-8")
    assert "[notebooks]" in text
    assert re.search(r"^ .*plot_\*\.ipynb(; do| \|)\n[^#]*?nbconvert[^#]*?--execute", text, re.M)
    left_out = re.findall(r"plot_(\w+)\.ipynb(?= )", "\n".join(re.findall(r"rm .*", text)))
    assert left_out == ([] if path == ".ci/run" else ["keras", "pytorch"])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_links_between_the_pages_lead_to_files(name):
    text = (ROOT / name).read_text("utf-8")
    for link in re.findall(r"\]\((?!https:)([^)]+)\)", text):
        assert (ROOT / link).exists(), link


def test_tools_before_a_commit_are_those_of_the_package():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    names = [hook["id"] for each in hooks for hook in each["hooks"]]
    assert {"ruff-check", "ruff-format", "check-yaml"} <= set(names)

"""The public names, and the metadata that a package index, a citation and a recipe show."""

import re
import tomllib
from pathlib import Path

import pytest

import skdistill

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Source"]


def read_yaml(path):
    """Return a YAML file of the repository as Python data."""
    return pytest.importorskip("yaml").safe_load((ROOT / path).read_text("utf-8"))


def test_all_names_are_listed_and_there():
    assert set(skdistill.__all__) <= set(dir(skdistill))
    for name in skdistill.__all__:
        assert getattr(skdistill, name) is not None


def test_one_version_everywhere():
    assert PROJECT["version"] == skdistill.__version__
    assert read_yaml("CITATION.cff")["version"] == skdistill.__version__
    assert read_yaml(".ci/conda-forge/recipe.yaml")["context"]["version"] == skdistill.__version__


def test_the_recipe_has_the_dependencies_of_the_package():
    recipe = read_yaml(".ci/conda-forge/recipe.yaml")
    python, *others = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert PROJECT["requires-python"] == ">=" + recipe["context"]["python_min"]
    assert [other.replace(" ", "") for other in others] == PROJECT["dependencies"]


def test_one_address_of_the_repository():
    """Every link to a forge is a link to the address in pyproject.toml, or to a known action."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.cff"), *(ROOT / "docs").rglob("*.rst")]
    pages += [ROOT / "pyproject.toml", *(ROOT / ".github").rglob("*.*")]
    pages += [ROOT / ".ci" / "conda-forge" / "recipe.yaml"]
    found = [
        (page.name, address)
        for page in pages
        for address in re.findall(r"https://git(?:hub|lab)\.com/[\w.-]+/[\w.-]+", page.read_text())
    ]
    assert {address.removesuffix(".git") for _, address in found} == {REPOSITORY}, found


def test_links_of_the_readme_are_absolute_and_lead_to_files():
    """A package index shows the README alone: a relative link would be dead there."""
    text = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    links = [one or other for one, other in links]
    assert links
    for link in links:
        assert link.startswith("https://"), link
        inside = re.fullmatch(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/(.*)", link)
        assert inside is None or (ROOT / inside[1]).exists(), link


def test_a_citation_has_the_fields_of_its_format():
    """The required fields of the Citation File Format 1.2.0, and no unknown one."""
    record = read_yaml("CITATION.cff")
    assert record["cff-version"] == "1.2.0"
    assert set(record) >= {"cff-version", "message", "title", "authors"}
    assert set(record) <= {
        *("abstract", "authors", "cff-version", "date-released", "doi", "keywords", "license"),
        *("message", "repository-code", "title", "type", "url", "version"),
    }
    assert record["license"] == PROJECT["license"]

"""Every name of the API reference is documented as numpydoc asks (checks: pyproject.toml).

An override is documented by the method of the base class that it overrides.
"""

import doctest
import functools
import inspect
import re
import tomllib
import warnings
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest

import skdistill

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
NOT_CHECKED = {*SETTINGS["numpydoc_validation"]["checks"]}  # beside "all", as numpydoc has it
# Of scikit-learn: their texts are not ours.
MADE_BY_METADATA_ROUTING = re.compile(r"set_\w+_request$")


def api_names():
    """Yield the names of the API reference, in the order of the page."""
    module = ""
    for line in (ROOT / "docs" / "api" / "index.rst").read_text("utf-8").splitlines():
        if found := re.match(r"\.\. (?:currentmodule|automodule):: (\S+)$", line):
            module = found[1]
        elif found := re.match(r"(?:\.\. autoclass:: |   )(skdistill\.)?([\w.]+)$", line):
            yield f"{'skdistill' if found[1] else module}.{found[2]}"


def load(name):
    """Return the object of a dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[end:], found)
    raise ImportError(name)


def is_to_check(kind, method):
    """Whether a name of a class is a public method or property of ours."""
    value = vars(kind)[method]
    if method.startswith("_") or MADE_BY_METADATA_ROUTING.match(method):
        return False
    if isinstance(value, property):  # one made from a lambda has no source to validate
        return value.fget.__name__ != "<lambda>"
    return inspect.isroutine(value) and method not in getattr(kind, "__dataclass_fields__", ())


def documented():
    """Yield all names to check: of the page, and of the methods of its classes."""
    for name in api_names():
        yield name
        kind = load(name)
        ours = [base for base in getattr(kind, "__mro__", ()) if "skdistill" in base.__module__]
        for each in {each for base in ours for each in vars(base)}:
            defined = [base for base in ours if each in vars(base)]
            shown_there = defined[0] is not kind and defined[0] in ON_THE_PAGE
            if len(defined) == 1 and is_to_check(defined[0], each) and not shown_there:
                yield f"{name}.{each}"


ON_THE_PAGE = [load(name) for name in api_names()]
NAMES = sorted(set(documented()))


def is_inherited(name, text):
    """Whether a base class documents the parameters that a class does not document."""
    kind = load(name)
    if not inspect.isclass(kind):
        return False
    if issubclass(kind, Enum):
        return True
    above = "\n".join(base.__doc__ or "" for base in kind.__mro__[1:])
    return all(
        re.search(rf"^ +.*\b{each}\b.* : ", above, re.M) for each in re.findall(r"'(\w+)'", text)
    )


def faults(name):
    """Return the faults that numpydoc finds in the docstring of a name."""
    validate = pytest.importorskip("numpydoc.validate")
    with warnings.catch_warnings():  # an unknown heading: the check GL06 reports it
        warnings.simplefilter("ignore", UserWarning)
        found = validate.validate(name)["errors"]
    return [
        f"{code}: {text}"
        for code, text in found
        if code not in NOT_CHECKED
        and not (code == "PR01" and is_inherited(name, text))
        and not (code == "PR02" and "'cls'" in text)  # taken for that of a class method
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented(name):
    assert faults(name) == []


def test_every_name_of_the_package_is_in_the_reference():
    listed = set(api_names())
    missing = {f"skdistill.{name}" for name in skdistill.__all__} - listed
    assert missing == {"skdistill.__version__"}


@pytest.mark.parametrize("name", sorted(set(api_names())))
def test_every_name_of_the_reference_has_an_example(name):
    """Doctests run in the test of their module."""
    assert ">>>" in inspect.getdoc(load(name))


# Their examples need an extra, so that doctest skips some lines.
NEED_AN_EXTRA = {
    "skdistill.save": "skops",
    "skdistill.neural.NetworkClassifier": "keras",
    "skdistill.neural.NetworkRegressor": "keras",
}


def test_only_examples_that_need_an_extra_have_lines_that_are_skipped():
    skipped = {name for name in api_names() if "+SKIP" in (inspect.getdoc(load(name)) or "")}
    assert skipped == {*NEED_AN_EXTRA, "skdistill.show_versions"}  # another text everywhere


@pytest.mark.parametrize("name", NEED_AN_EXTRA)
def test_examples_that_need_an_extra_run_where_it_is_there(name):
    pytest.importorskip(NEED_AN_EXTRA[name])
    text = re.sub(r" *# doctest: \+SKIP", "", inspect.getdoc(load(name)))
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert (failed, tried > 2) == (0, True)

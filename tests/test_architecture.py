"""The shape of the package: who may import whom, who may ask a teacher, what is never named.

Every rule is a function from source text to a list of violations. It is tested on the package,
where the list must be empty, and on a line that breaks the rule, where it must not.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skdistill"
SOURCES = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
MODULES = sorted(SOURCES, key=str)

# What each part of the package may import of the others. The private boundary is `release`:
# nothing below it (students, statement) can reach a teacher, because it cannot import the way.
MAY_IMPORT = {
    "_callbacks": set(),
    "_diffprivlib": set(),
    "_rows": set(),
    "_show_versions": set(),
    "schema": set(),
    "statement": set(),
    "_randomness": set(),
    "neural": {"_randomness"},
    "students": {"_rows", "neural"},
    "accounting": {"_diffprivlib", "_rows"},
    "teachers": {"_callbacks", "accounting", "neural", "release", "schema"},
    "certificates": {"statement", "accounting", "teachers"},
    "release": {
        "_diffprivlib",
        "_randomness",
        "_rows",
        "neural",
        "statement",
        "accounting",
        "certificates",
    },
    "transfer": {"schema", "statement", "students", "accounting", "release"},
    "_checks": {"accounting"},
    "_display": {"statement", "certificates"},
    "distiller": {
        "_checks",
        "_display",
        "_rows",
        "statement",
        "accounting",
        "certificates",
        "neural",
        "publishing",
        "release",
        "students",
        "transfer",
    },
    "pate": {
        "_checks",
        "_display",
        "_rows",
        "accounting",
        "certificates",
        "distiller",
        "neural",
        "publishing",
        "release",
        "schema",
        "statement",
        "students",
        "teachers",
        "transfer",
    },
    "publishing": {"certificates", "statement", "students"},
    # These read finished distillers, or the user's own models, and nothing reads them.
    "audit": {
        "_checks",
        "_callbacks",
        "_rows",
        "certificates",
        "distiller",
        "statement",
        "students",
    },
    "inspection": {"audit"},
    "testing": {"accounting", "release"},
    "__main__": {"accounting"},
    "__init__": {
        "_show_versions",
        "accounting",
        "distiller",
        "pate",
        "publishing",
        "statement",
        "teachers",
    },
}

# Whose predictions each part may ask for. A student's and one's own are no secret; a member of an
# ensemble is asked by the ensemble, which is asked by `release`. An audit attacks the models that
# its caller hands over, on the caller's own machine, and trains reference models of its own; what
# it says of a teacher is marked as private, and nothing imports it.
MAY_ASK = {
    "audit": {"model", "reference"},
    # A network of the user's, inside the estimator that it is adapted to.
    "neural": {"self", "network", "net"},
    "pate": {"self", "self.student_"},
    "publishing": {"self", "self.student"},
    "students": {"student"},
    "distiller": {"self", "self.student_"},
    "teachers": {"self", "member"},
}
ANSWERS = {"predict", "predict_proba", "predict_log_proba", "decision_function"}

# Public scikit-learn functions that live in modules which also hold private ones.
PUBLIC_VALIDATION = {"check_is_fitted", "validate_data", "has_fit_parameter"}

# Modules without a test file of their own name, and what tests them instead.
TESTED_ELSEWHERE = {
    "__main__.py": "tests/test_main.py",
    "neural/adapters.py": "tests/neural/test_soft_labels.py, tests/deep/test_torch.py",
    "neural/backends.py": "tests/deep/test_torch.py, tests/deep/test_keras.py",
    "neural/torch_losses.py": "tests/deep/test_torch.py: networks of skorch",
    "_checks.py": "tests/test_distiller.py: every message, through PrivateDistiller",
    "_rows.py": "tests/students/test_rows.py: every kind of table",
    "_display.py": "tests/test_boundary.py: no private value in any text or HTML",
    "accounting/charging.py": "tests/test_boundary.py, tests/test_distiller.py: charged first",
    "certificates/ensembles.py": "tests/release/test_ensembles.py: bound and release together",
    "certificates/registry.py": "tests/certificates/test_base.py: who is found, by which class",
    "certificates/already_private.py": "tests/certificates/test_base.py: one family, few lines",
    "certificates/pipelines.py": "tests/certificates/test_base.py: one family, few lines",
    "certificates/worst_case.py": "tests/certificates/test_base.py: one family, few lines",
    "certificates/stable_linear.py": "tests/teachers/test_stable_linear.py: its proof stands there",
    "pate/classifier.py": "tests/pate: both estimators",
    "pate/regressor.py": "tests/pate: both estimators",
    "pate/costs.py": "tests/pate/test_base.py: the rule, and the sum of the parts",
    "pate/tables.py": "tests/pate/test_privacy.py: no private cell in any message",
    "publishing/archive.py": "tests/test_publishing.py: hostile files",
    "publishing/files.py": "tests/test_publishing.py: there and back",
    "publishing/private_parts.py": "tests/test_publishing.py: students that hold the teacher",
    "publishing/published.py": "tests/test_publishing.py: exports predict the same",
    "publishing/schema_check.py": "tests/test_publishing.py: hostile files",
    "publishing/statement_check.py": "tests/test_publishing.py: hostile files",
    "release/parameters.py": "tests/release/test_calibration.py: with the other prices",
    "release/plan.py": "tests/release/test_calibration.py: with the other prices",
    "release/soft_labels.py": "tests/release/test_calibration.py, tests/test_privacy.py",
    "students/simplex.py": "tests/students/test_soft_targets.py",
}


def part_of(module: Path) -> str:
    """The part of the package a module belongs to: its folder, or itself."""
    return module.parts[0].removesuffix(".py")


def imports(module: Path, source: str) -> Iterator[tuple[str, str | None]]:
    """All (module, name) that are imported anywhere, functions included; name None for all."""
    package = ("skdistill", *module.parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                yield origin, alias.name


def upward_imports(module: Path, source: str) -> list[str]:
    """Imports of parts of the package that this part may not know."""
    part = part_of(module)
    known = MAY_IMPORT[part] | {part}
    found = []
    for origin, name in imports(module, source):
        pieces = origin.split(".")
        if pieces[0] != "skdistill":
            continue
        target = pieces[1] if len(pieces) > 1 else name
        if target not in known and target != "__version__":
            found.append(f"{module}: {part} imports {origin} ({name})")
    return found


def questions_to_teachers(module: Path, source: str) -> list[str]:
    """Predictions asked for outside the private boundary, of anything but a student."""
    part = part_of(module)
    if part == "release":
        return []
    allowed = MAY_ASK.get(part, set())
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ANSWERS:
            asked = ast.unparse(node.value)
            if asked not in allowed:
                found.append(f"{module}:{node.lineno}: {asked}.{node.attr}")
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("getattr", "methodcaller", "attrgetter")
        ):
            words = {a.value for a in node.args if isinstance(a, ast.Constant)}
            if words & ANSWERS:
                found.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
        if part == "students" and isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if "teacher" in name:
                found.append(f"{module}:{node.lineno}: a student's code names {name}")
    return found


def private_sklearn(module: Path, source: str) -> list[str]:
    """Imports of scikit-learn's private modules or names."""
    found = []
    for origin, name in imports(module, source):
        if origin.split(".")[0] != "sklearn":
            continue
        private = any(piece.startswith("_") for piece in [*origin.split("."), name or ""])
        if origin == "sklearn.utils.validation" and name not in PUBLIC_VALIDATION:
            private = True
        if private:
            found.append(f"{module}: {origin} ({name})")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if re.fullmatch(r"sklearn(\.\w+)*\._\w+", text):
                found.append(f"{module}:{node.lineno}: {text}")
    return found


SEEDABLE = {"random", "default_rng", "RandomState", "check_random_state", "Generator", "PCG64"}


def seedable_randomness(module: Path, source: str) -> list[str]:
    """Random generators that can be seeded, in the folder where private noise is made."""
    if part_of(module) != "release":
        return []
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    named |= {n.attr for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute)}
    for origin, name in imports(module, source):
        named |= {*origin.split("."), name or ""}
    return [f"{module}: {name}" for name in sorted(named & SEEDABLE)]


RULES = [upward_imports, questions_to_teachers, private_sklearn, seedable_randomness]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_package_keeps_the_rule(rule):
    assert [found for module in MODULES for found in rule(module, SOURCES[module])] == []


@pytest.mark.parametrize(
    ("rule", "module", "line"),
    [
        (upward_imports, "students/rows.py", "from skdistill.release.releases import draw"),
        (upward_imports, "students/rows.py", "from skdistill import release"),
        (upward_imports, "students/rows.py", "from ..certificates import certify"),
        (upward_imports, "statement.py", "import skdistill.release.noise"),
        (
            upward_imports,
            "certificates/base.py",
            "def f():\n    from skdistill.release.releases import draw",
        ),
        (upward_imports, "accounting/loss.py", "from skdistill.teachers import stable_C"),
        (upward_imports, "release/noise.py", "from skdistill.testing import no_noise"),
        (upward_imports, "distiller.py", "from skdistill.testing import no_noise"),
        (questions_to_teachers, "distiller.py", "labels = self.teacher.predict_proba(X)"),
        (questions_to_teachers, "distiller.py", "ask = teacher.predict"),
        (questions_to_teachers, "distiller.py", "ask = getattr(teacher, 'predict')"),
        (questions_to_teachers, "certificates/base.py", "s = teacher.decision_function(X)"),
        (questions_to_teachers, "students/rows.py", "def f(teacher, X): ..."),
        (private_sklearn, "distiller.py", "from sklearn.utils._tags import get_tags"),
        (private_sklearn, "distiller.py", "from sklearn.base import _fit_context"),
        (private_sklearn, "distiller.py", "from sklearn.utils.validation import _num_samples"),
        (private_sklearn, "distiller.py", "import sklearn.utils._param_validation"),
        (private_sklearn, "distiller.py", "import sklearn\nx = sklearn.utils._tags"),
        (seedable_randomness, "release/noise.py", "x = np.random.normal()"),
        (seedable_randomness, "release/noise.py", "from numpy.random import default_rng"),
        (seedable_randomness, "release/noise.py", "import random"),
        (seedable_randomness, "release/x.py", "from sklearn.utils import check_random_state"),
    ],
)
def test_rule_catches_what_breaks_it(rule, module, line):
    assert rule(Path(module), line)


def test_every_part_has_a_rule():
    assert {part_of(module) for module in MODULES} <= set(MAY_IMPORT)


def test_import_directions_have_no_circle():
    left = {part: set(targets) for part, targets in MAY_IMPORT.items()}
    while left:
        free = [part for part, targets in left.items() if not targets & set(left)]
        assert free, f"a circle among {sorted(left)}"
        for part in free:
            del left[part]


def test_import_is_light():
    """Importing skdistill brings in nothing heavy that scikit-learn had not (it takes pandas)."""
    heavy = {"diffprivlib", "mpmath", "pandas", "polars", "matplotlib", "sympy", "sqlite3"}
    heavy |= {"keras", "torch", "skorch", "skops", "dask"}
    code = (
        f"import sys, sklearn.linear_model; before = set(sys.modules) & {heavy}; "
        f"import skdistill; print(sorted(set(sys.modules) & {heavy} - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_module_has_its_test_file():
    missing = []
    for module in MODULES:
        if module.name == "__init__.py" or str(module.as_posix()) in TESTED_ELSEWHERE:
            continue
        name = "test_" + module.name.lstrip("_")
        if not (ROOT / "tests" / module.parent / name).exists():
            missing.append(str(module))
    assert missing == []


def test_tests_elsewhere_exist():
    for module, where in TESTED_ELSEWHERE.items():
        assert (PACKAGE / module).exists(), f"{module} is gone: strike it from the list"
        for path in re.findall(r"tests/[\w/]+\.py", where):
            assert (ROOT / path).exists(), f"{module} is said to be tested by {path}"


@pytest.mark.parametrize("page", ["theory.rst", "differences.rst"])
def test_pages_point_at_code_that_exists(page):
    """The documentation names, for every theorem, a module and the functions that use it."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = re.findall(r"`(?:skdistill/)?([\w/]+\.py)`((?:,\s+`[\w.]+`)*)", text)
    assert len(named) > 2
    for path, functions in named:
        source = SOURCES[Path(path)]
        for name in re.findall(r"`([\w.]+)`", functions):
            defined = rf"(?:def|class) {name.split('.')[-1]}\b"
            assert re.search(defined, source), f"{page}: {path} has no {name}"


# Absolute paths of somebody's machine. Put together here, so that this file passes.
MACHINE_PATH = re.compile(
    r"(?<![\w.~:}/-])/(?:" + "|".join(["work", "root", "home", "farm", "Users", "tmp"]) + r")/\w"
)
TEXT = {".py", ".md", ".rst", ".toml", ".txt", ".cff", ".svg", ".css", ".yml", ".cfg", ""}
BUILT = {"_build", "auto_examples", "generated", "__pycache__", ".ruff_cache", ".mypy_cache"}


def repository_texts() -> Iterator[Path]:
    """The files that make up the repository, without what a build leaves behind."""
    folders = ["skdistill", "tests", "docs", "examples", "benchmarks", ".ci"]
    for path in [*ROOT.glob("*"), *(p for f in folders for p in (ROOT / f).rglob("*"))]:
        if path.is_file() and path.suffix in TEXT and not BUILT & set(path.parts):
            yield path


def test_no_machine_path_in_the_repository():
    found = []
    for path in repository_texts():
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("folder", ["work", "root", "home", "tmp"])
def test_machine_path_is_caught(folder):
    assert MACHINE_PATH.search(f'open("/{folder}/x.csv")')
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/x")

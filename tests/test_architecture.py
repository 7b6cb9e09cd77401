"""The shape of the package: who may import whom, who may ask a teacher, which names never occur.

Every rule is a function from source text to a list of violations. It is tested on the package,
where the list must be empty, and on a line that breaks the rule, where it must not.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skdistill"
SOURCES = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
MODULES = sorted(SOURCES, key=str)

# Which file may import which: {file: files}. The picture in the documentation is drawn from it.
TABLE = Path(__file__).with_name("imports.toml")
MAY_IMPORT = {
    Path(name): set(map(Path, targets))
    for room in tomllib.loads(TABLE.read_text("utf-8")).values()
    for name, targets in room["files"].items()
}

# Whose predictions each part may ask for. A student's and one's own are no secret; a member of an
# ensemble is asked by the ensemble, which is asked by `release`. An audit attacks the models that
# its caller hands over, on the caller's own machine, and trains reference models of its own; its
# figures about a teacher are marked as private, and nothing imports it.
MAY_ASK = {
    "audit": {"model", "student", "self.model_", "model.fit(X_reference, reference)"},
    # A network of the user's, inside the estimator that it is adapted to.
    "neural": {"self", "network", "net"},
    "private_table": {"self", "self.student_"},
    "publishing": {"self", "self.student"},
    "students": {"student", "self", "self.student"},
    "distiller": {"self", "self.student_"},
    "_estimator": {"self._thresholded()"},
    "_scores": {"self"},
    "teachers": {"self", "member"},
}
ANSWERS = {"predict", "predict_proba", "predict_log_proba", "decision_function"}

# Rooms below the private boundary: no import, of any length, leads from them to a teacher, to a
# proof (which holds callables that see private records) or to a release.
BELOW_THE_BOUNDARY = ("students/", "neural/", "schema/", "statement.py", "_tables.py", "_cells.py")
PRIVATE_ROOMS = (
    "release/",
    "certificates/",
    "teachers/",
    "private_table/",
    "distiller.py",
    "audit/",
)

# Where noise is added: the one call of a sampler's `perturb`.
ADDS_NOISE = Path("release/query.py")

# The uses of seedable randomness in release/: which public rows are asked about, and rows drawn
# from a law that was released already. A function or a class of each file.
PUBLIC_CHOICE = {
    Path("release/calibration.py"): "choose_queries",
    Path("release/synthesis.py"): "SyntheticTable",
}

# Where the name of a mechanism or of a law of noise may stand as a string: in the file that
# defines the mechanism, which the table from settings to mechanisms reads; in the checks of
# settings; and where a price or a sampler has one branch for each law.
MAY_NAME = {
    "noisy_max": ("release/votes.py",),
    "confident_max": ("release/votes.py",),
    "soft_labels": (),
    "residual_rounds": (),
    "gaussian": ("accounting/", "release/", "_validate.py"),
    "laplace": ("accounting/", "release/", "testing.py", "private_table/base.py"),
}
CERTIFICATES = {
    *("RowBound", "DisjointTeachers", "ParameterBall", "GradientSums", "AlreadyPrivate"),
}

LONGEST_FILE = 600

# Public scikit-learn functions that live in modules which also hold private ones.
PUBLIC_VALIDATION = {"check_is_fitted", "validate_data", "has_fit_parameter"}

# Modules without a test file of their own name, and the files that test them instead.
TESTED_ELSEWHERE = {
    "_partitions.py": "tests/transfer/test_dask_rows.py, tests/teachers/test_dask_partitions.py",
    "_numbers.py": "tests/test_distiller_refusals.py, tests/audit/test_bounds.py: bad settings",
    "__main__.py": "tests/test_main.py",
    "_silenced.py": "tests/release/test_boundary.py: warnings of threads",
    "_validate.py": "tests/test_distiller_refusals.py: every message, through PrivateDistiller",
    "certificates/own_teachers.py": "tests/release/test_ensembles.py: both kinds",
    "neural/adapters.py": "tests/neural/test_soft_labels.py, tests/deep/test_torch.py",
    "neural/backends.py": "tests/deep/test_torch.py, tests/deep/test_keras.py",
    "neural/torch_losses.py": "tests/deep/test_torch.py: networks of skorch",
    "private_table/base.py": "tests/private_table: the fit that both estimators share",
    "private_table/task.py": "tests/private_table: arguments and results of that fit",
    "private_table/classifier.py": "tests/private_table/test_estimators.py: settings, results",
    "private_table/regressor.py": "tests/private_table/test_estimators.py: settings, results",
    "private_table/preview.py": "tests/private_table/test_estimators.py: a table of noise",
    "private_table/teaching.py": "tests/private_table/test_estimators.py: teachers, groups",
    "publishing/files.py": "tests/test_publishing_files.py: there and back, hostile files",
    "publishing/private_parts.py": "tests/test_publishing.py: students that hold the teacher",
    "publishing/published.py": "tests/test_publishing.py: exports predict the same",
    "release/coordinates.py": "tests/release/test_gradient_rounds.py: public rows of any kind",
    "release/mechanism.py": "tests/release/test_calibration.py, tests/test_distiller.py: settings",
    "release/partitioned_rows.py": "tests/teachers/test_dask_partitions.py",
    "release/private_sums.py": "tests/release/test_gradient_rounds.py: bounds of every sum",
    "schema/report.py": "tests/schema/test_schema.py, tests/schema/test_describe.py",
    "students/training.py": "tests/test_distiller.py, tests/test_composition.py",
    "teachers/shards.py": "tests/teachers/test_ensemble.py",
}


parsed = cache(ast.parse)  # the rules read trees and change none


def part_of(module: Path) -> str:
    """The part of the package a module belongs to: its folder, or itself."""
    return module.parts[0].removesuffix(".py")


def imports(module: Path, source: str) -> Iterator[tuple[str, str | None]]:
    """All (module, name) that are imported anywhere, functions included; name None for all."""
    package = ("skdistill", *module.parts[:-1])
    tree = parsed(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                yield origin, alias.name
    if re.search(r"\b(import_module|__import__)\b", source):  # imported later, by a string
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.startswith("skdistill.") and file_of(text, None):
                yield text, None


def file_of(origin: str, name: str | None) -> Path | None:
    """The file of the package that ``from origin import name`` runs; None for no file."""
    for dotted in ([f"{origin}.{name}"] if name else []) + [origin]:
        path = Path(*dotted.split(".")[1:])
        for file in (path.with_suffix(".py") if path.parts else path, path / "__init__.py"):
            if file in SOURCES:
                return file
    return None


def files_imported(module: Path, source: str) -> dict[Path, str]:
    """The files of the package that a module imports, each with the import."""
    found = {}
    for origin, name in imports(module, source):
        if origin.split(".")[0] == "skdistill" and (origin, name) != ("skdistill", "__version__"):
            found[file_of(origin, name) or Path(origin.replace(".", "/"))] = f"{origin} ({name})"
    return found


def unlisted_imports(module: Path, source: str) -> list[str]:
    """Imports of files of the package that the table does not allow this file."""
    found = files_imported(module, source)
    return [
        f"{module} imports {text}: not in tests/imports.toml"
        for target, text in found.items()
        if target not in MAY_IMPORT.get(module, set())
    ]


def unused_permissions(module: Path, source: str) -> list[str]:
    """Entries of the table that this file does not use."""
    unused = MAY_IMPORT.get(module, set()) - set(files_imported(module, source))
    return [f"{module} imports no {target}: strike it from tests/imports.toml" for target in unused]


def questions_to_teachers(module: Path, source: str) -> list[str]:
    """Predictions asked for outside the private boundary, of anything but a student."""
    part = part_of(module)
    if part == "release":
        return []
    allowed = MAY_ASK.get(part, set())
    found = []
    for node in ast.walk(parsed(source)):
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


def noise_added_elsewhere(module: Path, source: str) -> list[str]:
    """Uses of a sampler's `perturb`, outside the one file that may add noise."""
    found = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(parsed(source))
        if (isinstance(node, ast.Attribute) and node.attr == "perturb")
        or (isinstance(node, ast.Constant) and node.value == "perturb")
    ]
    return found[1:] if module == ADDS_NOISE else found


def certificates_told_apart(module: Path, source: str) -> list[str]:
    """Questions for the class of a certificate, outside certificates/: its `kind` says it."""
    if part_of(module) == "certificates":
        return []
    found = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            named = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            named |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
            # Whether a *setting* is a certificate may be asked; the setting is public.
            setting = ast.unparse(node.args[0]).split(".")[-1] == "certificate"
            if named & CERTIFICATES or ("Certificate" in named and not setting):
                found.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.MatchClass) and ast.unparse(node.cls).split(".")[-1] in (
            CERTIFICATES | {"Certificate"}
        ):
            found.append(f"{module}:{node.lineno}: {ast.unparse(node.cls)}")
    return found


def mechanisms_by_name(module: Path, source: str) -> list[str]:
    """Names of mechanisms, or of laws of noise, as strings where an object should be asked."""
    tree = parsed(source)
    exported = {
        id(text)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for text in ast.walk(node.value)
    }
    return [
        f"{module}:{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and id(node) not in exported
        and isinstance(node.value, str)
        and node.value in MAY_NAME
        and not module.as_posix().startswith(MAY_NAME[node.value])
    ]


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
    for node in ast.walk(parsed(source)):
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
    tree = parsed(source)
    public = PUBLIC_CHOICE.get(module)
    inside = {
        id(node)
        for function in tree.body
        if isinstance(function, ast.FunctionDef | ast.ClassDef) and function.name == public
        for node in ast.walk(function)
    }
    used = [node for node in ast.walk(tree) if id(node) not in inside]
    named = {node.id for node in used if isinstance(node, ast.Name)}
    named |= {node.attr for node in used if isinstance(node, ast.Attribute)}
    for origin, name in imports(module, source):
        typed = origin in ("collections.abc", "typing")  # a generator of queries
        if not typed and not (public and name == "check_random_state"):
            named |= {*origin.split("."), name or ""}
    if re.search(r"from (collections\.abc|typing) import [^\n]*\bGenerator\b", source):
        named.discard("Generator")
    return [f"{module}: {name}" for name in sorted(named & SEEDABLE)]


def too_long(module: Path, source: str) -> list[str]:
    """Files with more lines than one can read in one go."""
    lines = len(source.splitlines())
    return [f"{module}: {lines} lines"] if lines > LONGEST_FILE else []


RULES = [
    unlisted_imports,
    unused_permissions,
    questions_to_teachers,
    noise_added_elsewhere,
    certificates_told_apart,
    mechanisms_by_name,
    private_sklearn,
    seedable_randomness,
    too_long,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_package_keeps_the_rule(rule):
    assert [found for module in MODULES for found in rule(module, SOURCES[module])] == []


@pytest.mark.parametrize(
    ("rule", "module", "line"),
    [
        (unlisted_imports, "students/logistic.py", "from skdistill.release.query import answer"),
        (unlisted_imports, "students/logistic.py", "from skdistill import release"),
        (unlisted_imports, "students/logistic.py", "from ..certificates import certify"),
        (unlisted_imports, "statement.py", "import skdistill.release.noise"),
        (
            unlisted_imports,
            "certificates/base.py",
            "def f():\n    from skdistill.release.calibration import calibrate",
        ),
        (
            unlisted_imports,
            "students/logistic.py",
            "from importlib import import_module\nx = import_module('skdistill.release.query')",
        ),
        (unlisted_imports, "accounting/loss.py", "from skdistill.teachers import TeacherEnsemble"),
        (unlisted_imports, "release/noise.py", "from skdistill.testing import no_noise"),
        (unlisted_imports, "distiller.py", "from skdistill.testing import no_noise"),
        (unlisted_imports, "release/query.py", "from skdistill.release.boundary import own_copy"),
        (unused_permissions, "release/query.py", "from skdistill.release.noise import Sampler"),
        (questions_to_teachers, "distiller.py", "labels = self.teacher.predict_proba(X)"),
        (questions_to_teachers, "distiller.py", "ask = teacher.predict"),
        (questions_to_teachers, "distiller.py", "ask = getattr(teacher, 'predict')"),
        (questions_to_teachers, "certificates/base.py", "s = teacher.decision_function(X)"),
        (questions_to_teachers, "students/logistic.py", "def f(teacher, X): ..."),
        (noise_added_elsewhere, "release/votes.py", "noisy = sampler.perturb(votes, loss, 1.0)"),
        (noise_added_elsewhere, "distiller.py", "add = getattr(sampler, 'perturb')"),
        (noise_added_elsewhere, "release/query.py", "a.perturb(1)\nb.perturb(2)"),
        (certificates_told_apart, "distiller.py", "x = isinstance(bound, RowBound)"),
        (certificates_told_apart, "release/votes.py", "isinstance(b, (int, base.ParameterBall))"),
        (certificates_told_apart, "release/votes.py", "isinstance(bound, Certificate)"),
        (certificates_told_apart, "private_table/base.py", "match b:\n    case RowBound(): pass"),
        (mechanisms_by_name, "distiller.py", "if self.mechanism == 'noisy_max': pass"),
        (mechanisms_by_name, "distiller.py", "if release.loss.kind == 'laplace': pass"),
        (private_sklearn, "distiller.py", "from sklearn.utils._tags import get_tags"),
        (private_sklearn, "distiller.py", "from sklearn.base import _fit_context"),
        (private_sklearn, "distiller.py", "from sklearn.utils.validation import _num_samples"),
        (private_sklearn, "distiller.py", "import sklearn.utils._param_validation"),
        (private_sklearn, "distiller.py", "import sklearn\nx = sklearn.utils._tags"),
        (seedable_randomness, "release/noise.py", "x = np.random.normal()"),
        (seedable_randomness, "release/noise.py", "from numpy.random import default_rng"),
        (seedable_randomness, "release/noise.py", "import random"),
        (seedable_randomness, "release/noise.py", "from numpy.random import Generator"),
        (seedable_randomness, "release/x.py", "from sklearn.utils import check_random_state"),
        (
            seedable_randomness,
            "release/calibration.py",
            "from sklearn.utils import check_random_state\nx = check_random_state(0)",
        ),
        (
            seedable_randomness,
            "release/synthesis.py",
            "import numpy as np\ndef f(rng: np.random.Generator): ...",
        ),
        (too_long, "release/query.py", "\n" * 601),
    ],
)
def test_rule_catches_what_breaks_it(rule, module, line):
    assert rule(Path(module), line)


def test_every_file_is_in_the_table():
    assert set(MAY_IMPORT) == set(MODULES)


def test_files_import_each_other_in_no_circle():
    try:
        TopologicalSorter(MAY_IMPORT).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(map(str, reversed(circle.args[1]))))


def reached(start: Path) -> set[Path]:
    """All files that importing one file can lead to."""
    seen, left = set(), [start]
    while left:
        for target in MAY_IMPORT[left.pop()] - seen:
            seen.add(target)
            left.append(target)
    return seen


def test_nothing_below_the_boundary_knows_a_way_to_a_teacher():
    for module in MODULES:
        if module.as_posix().startswith(BELOW_THE_BOUNDARY):
            ways = [str(f) for f in reached(module) if f.as_posix().startswith(PRIVATE_ROOMS)]
            assert not ways, f"{module} reaches {ways}"
    assert Path("release/boundary.py") in reached(Path("distiller.py"))  # the search finds ways


@pytest.mark.slow
def test_every_module_can_be_imported_first():
    """No module needs another to be imported before it, packages' own files included."""
    names = [".".join(("skdistill", *m.with_suffix("").parts)) for m in MODULES]
    names = [name.removesuffix(".__init__") for name in names if "__main__" not in name]
    optional = ("torch", "keras", "skorch", "skops", "matplotlib", "pandas", "dask")
    # `import skdistill.a.b` begins with `import skdistill`: what that brings in comes first anyway.
    code = f"""
import importlib, sys
import skdistill
always = set(sys.modules)
for name in {names}:
    for loaded in [each for each in sys.modules if each.split(".")[0] == "skdistill"]:
        if loaded not in always:
            del sys.modules[loaded]
            package, _, own = loaded.rpartition(".")
            vars(sys.modules.get(package, importlib)).pop(own, None)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in {optional}:
            raise
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_picture_is_up_to_date():
    """``python docs/draw_architecture.py`` draws the table."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "draw_architecture.py"), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
        own = ROOT / "tests" / Path(module).parent / f"test_{Path(module).name.lstrip('_')}"
        main = module == "__main__.py"
        assert main or not own.exists(), f"{module} has {own.name}: strike it from the list"
        for path in re.findall(r"tests/[\w/]+\.py", where):
            assert (ROOT / path).exists(), f"{module} is said to be tested by {path}"


THEOREMS = [f"theory/{path.name}" for path in sorted((ROOT / "docs" / "theory").glob("*.rst"))]


@pytest.mark.parametrize("page", THEOREMS)
def test_a_theorem_has_statement_proof_code_and_a_line_for_its_reader(page):
    text = (ROOT / "docs" / page).read_text("utf-8")
    parts = re.findall(r"^(.+)\n-{4,}$", text, re.MULTILINE)
    assert parts == ["Statement", "Proof", "Code that relies on it", "Review"]
    # The page must not claim a review that did not happen: a name takes the place of the sentence.
    read = re.search(r"^Read by, on:(.*)\Z", text, re.MULTILINE | re.DOTALL)
    assert read is not None
    assert bool(read[1].strip()) != ("Nobody outside the project has read this page yet." in text)
    assert f"   {page.removesuffix('.rst')}\n" in (ROOT / "docs" / "theory.rst").read_text("utf-8")


@pytest.mark.parametrize("page", ["theory.rst", "differences.rst", *THEOREMS])
def test_pages_point_at_code_that_exists(page):
    """The documentation names, for every theorem, a module and the functions that use it."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = re.findall(r"`(?:skdistill/)?([\w/]+\.py)`((?:,\s+`[\w.]+`)*)", text)
    assert len(named) > (0 if page in THEOREMS else 2)
    for path, functions in named:
        source = SOURCES[Path(path)]
        for name in re.findall(r"`([\w.]+)`", functions):
            defined = rf"(?:def|class) {name.split('.')[-1]}\b"
            assert re.search(defined, source), f"{page}: {path} has no {name}"


def test_the_figure_for_choosing_leads_to_pages():
    figure = (ROOT / "docs" / "_static" / "chooser.svg").read_text("utf-8")
    targets = re.findall(r'href="([^"]+)"', figure)
    assert len(targets) >= 4
    for target in targets:
        assert (ROOT / "docs" / target).with_suffix(".rst").exists(), target


# Absolute paths of somebody's machine. Put together here, so that this file passes.
MACHINE_PATH = re.compile(
    r"(?<![\w.~:}/-])/(?:" + "|".join(["work", "root", "home", "farm", "Users", "tmp"]) + r")/\w"
)
TEXT = {".py", ".md", ".rst", ".toml", ".txt", ".cff", ".svg", ".css", ".yml", ".cfg", ""}
BUILT = {"_build", "auto_examples", "generated", "__pycache__", ".ruff_cache", ".mypy_cache"}


def repository_texts() -> Iterator[Path]:
    """The files that make up the repository, without the remains of a build."""
    folders = ["skdistill", "tests", "docs", "examples", "benchmarks", ".ci", ".github"]
    for path in [*ROOT.glob("*"), *(p for f in folders for p in (ROOT / f).rglob("*"))]:
        own = path.name != ".git"  # a file in a worktree
        if own and path.is_file() and path.suffix in TEXT and not BUILT & set(path.parts):
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

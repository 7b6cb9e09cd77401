"""diffprivlib is loaded on every scikit-learn, and nobody can tell afterwards that it was.

Imports happen once per process, so every scenario runs in its own. Each is run twice: with
the installed packages as they are, and with diffprivlib's models made impossible to import,
as with scikit-learn 1.9.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from processes import forked

from skdistill._diffprivlib import SUBMODULES, load

ROOT = Path(__file__).resolve().parents[1]

PRELUDE = """
import importlib.abc, sys, threading, warnings

class NoModels(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "diffprivlib.models":
            raise ImportError("models cannot be imported")

blocker = NoModels()
if {broken}:
    sys.meta_path.insert(0, blocker)

def entries():
    return {{n: m for n, m in sys.modules.items() if n.split(".")[0] == "diffprivlib"}}

def user_import():
    try:
        import diffprivlib
    except ImportError as error:
        return type(error).__name__, str(error)
    return sorted(vars(diffprivlib)), diffprivlib.__spec__.loader.__class__.__name__

def show(outcome):
    print(repr((outcome, sorted(entries()))))
"""


def run(script, broken=False):
    """Run a scenario in a new interpreter in which warnings are errors."""
    source = PRELUDE.format(broken=broken) + textwrap.dedent(script)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


broken = pytest.mark.parametrize("broken", [False, True], ids=["installed", "without models"])


def test_submodules_have_what_skdistill_needs():
    assert load("mechanisms").Laplace(epsilon=1.0, sensitivity=1.0).epsilon == 1.0
    assert load("accountant").BudgetAccountant(epsilon=1.0).remaining() == (1.0, 1.0)
    assert issubclass(load("utils").BudgetError, ValueError)
    assert load("validation").check_epsilon_delta(1.0, 0.0) is None
    assert all(load(name) is load(name) for name in SUBMODULES)


def test_unknown_submodule():
    with pytest.raises(ValueError, match="'models' is not one of"):
        load("models")


@pytest.mark.slow
@broken
def test_user_import_is_what_it_would_have_been(broken):
    alone = run("show(user_import())", broken)
    after = run(
        """
        from skdistill._diffprivlib import load
        load("mechanisms"), load("accountant")
        show(user_import())
        """,
        broken,
    )
    before = run(
        """
        first = user_import()
        held = entries()
        from skdistill._diffprivlib import load
        load("mechanisms")
        assert entries() == held  # the same modules, not only the same names
        assert user_import() == first
        load("utils")
        show(user_import())
        """,
        broken,
    )
    assert after == alone
    assert before == alone
    assert not broken or "models cannot be imported" in alone


@pytest.mark.slow
def test_private_copy_leaves_no_trace():
    run(
        """
        user_import()  # other packages are imported, and add warning filters of their own
        for name in entries():
            del sys.modules[name]
        filters, finders = list(warnings.filters), list(sys.meta_path)
        from skdistill._diffprivlib import SUBMODULES, load
        modules = [load(name) for name in SUBMODULES]
        assert entries() == {}, entries()
        # (diffprivlib.utils sets one for a warning class of its own)
        added = [f for f in warnings.filters if f not in filters]
        assert all(f[2].__module__ == "diffprivlib.utils" for f in added), added
        assert sys.meta_path == finders
        assert load("mechanisms") is modules[0]
        from copy import deepcopy
        accountant = load("accountant").BudgetAccountant(1.0, 0.0)
        deepcopy(accountant).spend(1.0, 0.0)
        assert accountant.remaining() == (1.0, 0.0)
        assert isinstance(load("mechanisms").Laplace(epsilon=1, sensitivity=1).randomise(0), float)
        """,
        broken=True,
    )


@pytest.mark.slow
@broken
def test_classes_have_one_identity_where_the_plain_import_works(broken):
    script = """
        from skdistill._diffprivlib import load
        ours = load("accountant")
        if blocker in sys.meta_path:  # the user mends the import, after ours
            sys.meta_path.remove(blocker)
        try:
            import diffprivlib
        except ImportError:
            print("skip")
        else:
            assert load("accountant").BudgetAccountant is diffprivlib.BudgetAccountant
            assert {broken} or ours.BudgetAccountant is diffprivlib.BudgetAccountant
        """
    if "skip" in run(script.replace("{broken}", str(broken)), broken):
        pytest.skip("import diffprivlib fails with this scikit-learn")


@pytest.mark.slow
@broken
def test_threads(broken):
    alone = run("show(user_import())", broken)
    after = run(
        """
        from skdistill._diffprivlib import load
        barrier, loaded = threading.Barrier(8), []

        def work():
            barrier.wait()
            loaded.append(load("mechanisms"))

        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert len(loaded) == 8 and all(module is loaded[0] for module in loaded)
        show(user_import())
        """,
        broken,
    )
    assert after == alone


@pytest.mark.slow
def test_lazy():
    run(
        """
        import skdistill.accounting, skdistill.release.noise, skdistill.testing
        assert entries() == {}
        """
    )


@pytest.mark.slow
def test_missing_diffprivlib_says_what_to_install():
    run(
        """
        def message():
            from skdistill._diffprivlib import load
            try:
                load("mechanisms")
            except ImportError as error:
                return str(error)

        sys.modules["diffprivlib"] = None
        assert "pip install diffprivlib" in message()
        assert entries() == {"diffprivlib": None}
        del sys.modules["diffprivlib"]
        assert message() is None  # installed since
        """
    )


def test_no_warning_filter_of_a_private_copy_is_left_behind():
    """scikit-learn pickles all filters with its jobs, and the copy's classes cannot be pickled."""
    code = (
        "import pickle, warnings\n"
        "from skdistill._diffprivlib import load\n"
        "load('accountant')\n"
        "pickle.dumps(warnings.filters)\n"
    )
    forked(code)

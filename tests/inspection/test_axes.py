"""matplotlib is an extra: pictures ask for it by name, and nothing else needs it."""

import sys

import numpy as np
import pytest
from processes import forked

from skdistill.inspection import BudgetDisplay, MembershipDisplay, PrivacyUtilityDisplay
from skdistill.inspection._axes import axes_and_figure, need_matplotlib, place_legend


def displays():
    yield PrivacyUtilityDisplay(epsilons=[1.0], scores=[0.5])
    yield MembershipDisplay(curves={"a": ([0.0, 1.0], [0.0, 1.0])})
    yield BudgetDisplay(times=[], totals=[], epsilon=1.0)


@pytest.mark.parametrize("display", list(displays()), ids=lambda d: type(d).__name__)
def test_without_matplotlib_the_error_names_the_extra(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = type(display).__name__
    with pytest.raises(ImportError, match=rf"{name}.plot needs .* pip install skdistill\[plot\]"):
        display.plot()


def test_nothing_is_computed_in_vain_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for display in (PrivacyUtilityDisplay, MembershipDisplay):
        with pytest.raises(ImportError, match=r"from_estimator needs .*skdistill\[plot\]"):
            display.from_estimator(*[None] * (4 if display is PrivacyUtilityDisplay else 5))


def test_import_brings_in_no_matplotlib():
    code = "import sys, skdistill.inspection; print('matplotlib' in sys.modules)"
    assert forked(code) == "False\n"


def test_axes_are_made_or_taken():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    need_matplotlib("x")
    made, figure = axes_and_figure(None, "x", (3.0, 2.0))
    assert made.figure is figure and np.allclose(figure.get_size_inches(), (3.0, 2.0))
    assert axes_and_figure(made, "x") == (made, figure)
    place_legend(made)
    assert made.get_legend() is None  # there was nothing to explain
    made.plot([1, 2], label="a")
    place_legend(made, loc="upper left")
    assert [text.get_text() for text in made.get_legend().get_texts()] == ["a"]
    plt.close("all")

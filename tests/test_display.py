"""Texts and diagrams of estimators, schemas, prices and published models, in notebooks."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_html_repr

from skdistill import PrivateDistiller, Schema, TableFeatures
from skdistill._display import as_html, print_once
from skdistill.accounting.search_costs import SearchCost
from skdistill.teachers import NewtonClassifier

SECRET = 31415.926535


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    X[0, 0] = SECRET
    y = (X[:, 1] > 0).astype(int)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X[:400], y[:400])
    return PrivateDistiller(teacher, LogisticRegression(C=2)).fit(X[400:])


def titles(page):
    return [found.text for found in ElementTree.fromstring(page).iter("summary")]


def test_a_distiller_is_a_diagram_with_its_statement_folded_below(fitted):
    blank = PrivateDistiller(LogisticRegression())
    first = ["teacher: LogisticRegression", "release: ε=1.0, δ=1e-06", "student: the default"]
    assert titles(blank._repr_html_()) == first
    assert "nothing has been asked or charged" in blank._repr_html_()
    assert titles(fitted._repr_html_()) == [
        *("teacher: NewtonClassifier", "release: ε=1.0, δ=1e-06", "student: LogisticRegression"),
        "privacy statement",
    ]
    assert fitted.privacy_._repr_html_() in fitted._repr_html_()
    assert "3141" not in fitted._repr_html_() + repr(fitted)


def test_no_teachers_repr_is_asked_for():
    """A repr may print private rows; the class alone is shown."""

    class Loud(LogisticRegression):
        def __repr__(self, N_CHAR_MAX=700):
            return "SECRET"

    model = PrivateDistiller(Loud())
    assert "SECRET" not in model._repr_html_() + repr(model) + estimator_html_repr(model)
    assert "teacher: Loud" in titles(model._repr_html_())


def test_a_diagram_without_privacy_says_so(fitted):
    open_ = PrivateDistiller(fitted.teacher, LogisticRegression(), epsilon=float("inf"))
    X = np.zeros((20, 3)) + np.arange(20)[:, None]
    teacher = LogisticRegression().fit(X, np.arange(20) > 9)
    page = open_.set_params(teacher=teacher).fit(X)._repr_html_()
    assert "release: NO privacy guarantee" in titles(page)
    assert "NOT private: do not publish it." in page and "Public" not in page


def test_an_estimator_without_teacher_starts_at_its_table():
    class Table:
        _shared = ()
        epsilon, delta, student = "<b>", 0.0, None

    page = as_html(Table())
    assert titles(page)[:2] == ["private table", "release: ε=<b>, δ=0.0"]
    assert "<b>" not in page


def test_a_statement_is_printed_once(capsys, fitted):
    print_once.cache_clear()
    for _ in range(2):
        fitted.set_params(verbose=1, epsilon=1.5).fit(np.zeros((10, 3)))
        print_once("another")
    text = capsys.readouterr().out
    assert text.count("This release is differentially private with ε=1.5") == 1
    assert text.count("another") == 1
    print_once.cache_clear()
    fitted.fit(np.zeros((10, 3)))
    assert "ε=1.5" in capsys.readouterr().out


def test_published(fitted):
    published = fitted.export()
    assert repr(published) == "Published(LogisticRegression, ε=1, δ=1e-06)"
    assert titles(published._repr_html_()) == ["privacy statement"]
    assert "3141" not in published._repr_html_()


def test_schema():
    categories = [f"<{letter}>" for letter in "abcdefghijkl"]
    schema = Schema(
        {"age": (17, 90), "town": categories, "rate": (0, 0.5)}, integer=["age"], missing=["age"]
    )
    page = schema._repr_html_()
    rows = [[cell.text for cell in row] for row in ElementTree.fromstring(page).iter("tr")]
    assert rows[1] == ["age", "whole numbers from 17 to 90", "may be missing"]
    assert rows[2][1].startswith("'<a>', '<b>'") and rows[2][1].endswith("'<j>', and 2 more")
    assert rows[3][1:] == ["numbers from 0 to 0.5", None]
    wide = Schema({f"x{j}": (0, 1) for j in range(300)})
    assert len(wide._repr_html_()) < 20_000 and "250 more columns" in wide._repr_html_()
    assert len(repr(wide)) < 100


def test_table_features():
    features = TableFeatures(Schema({"a<b": (0, 1)}))
    assert repr(features) == "TableFeatures(schema=Schema(1 column: a<b))"
    assert "a&lt;b" in estimator_html_repr(features) and "a<b" not in estimator_html_repr(features)


def test_search_cost():
    cost = SearchCost(1.128, 1e-6, n_fits=31, n_releases=4, epsilon_without_ledger=5.233)
    rows = [[cell.text for cell in row] for row in ElementTree.fromstring(cost._repr_html_())]
    assert ["releases that cost something", "4"] in rows
    assert ["ε of all, without a ledger", "5.233"] in rows

"""NewtonClassifier and NewtonRegressor: a record changes its own row, and nothing raises for it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdistill import PrivateDistiller
from skdistill.release.private_sums import MISSING, TARGET_ONE
from skdistill.release.replay.cache_keys import teacher_digest
from skdistill.teachers import newton
from skdistill.teachers.newton import NewtonClassifier, NewtonRegressor

TOTAL = "no private cell decides whether fit raises"
EXPECTED = {
    NewtonClassifier: {"check_dtype_object": TOTAL},
    NewtonRegressor: {"check_dtype_object": TOTAL, "check_supervised_y_no_nan": TOTAL},
}


@parametrize_with_checks(
    [NewtonClassifier(), NewtonRegressor((-500.0, 500.0))],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator)],
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def data(n=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, np.where(X[:, 0] + rng.logistic(size=n) / 2 > 0, "yes", "no")


def same_rows(first, second):
    a, b = first.private_rows_, second.private_rows_
    X = [each.toarray() if sp.issparse(each) else each for each in (a.X, b.X)]
    return np.array_equal(*X) and np.array_equal(a.targets, b.targets)


def test_attributes_of_a_fit():
    X, y = data()
    teacher = NewtonClassifier(classes=["no", "yes"]).fit(X, y)
    rows = teacher.private_rows_
    assert teacher.classes_given_ and not teacher.group_level_ and teacher.n_units_ == 400
    assert rows.X is X  # no copy of finite 64-bit floats
    assert teacher.score(X, y) > 0.75
    assert teacher.fit_id_ != teacher.fit(X, y).fit_id_
    assert not NewtonClassifier().fit(X, y).classes_given_


BAD_CELLS = [np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324]


@pytest.mark.parametrize("cell", BAD_CELLS)
@pytest.mark.parametrize("sparse", [False, True])
def test_cells_that_are_no_number_change_their_own_cell_only(cell, sparse):
    X, y = data()
    bad = X.copy()
    bad[3, 1] = cell
    container = sp.csr_matrix if sparse else np.asarray
    first = NewtonClassifier().fit(container(X), y).private_rows_.X
    teacher = NewtonClassifier().fit(container(bad), y)
    second = teacher.private_rows_.X
    first, second = (m.toarray() if sparse else m for m in (first, second))
    assert np.isfinite(second).all() and np.abs(second).max() <= 1e100
    changed = first != second
    assert changed[3, 1] and changed.sum() == 1
    assert np.isfinite(teacher.predict_proba(container(bad))).all()


@pytest.mark.parametrize("cell", ["x", None, object(), {"a": 1}, "1e999", 10**400, "0.25"])
@pytest.mark.parametrize("container", ["list", "object", "pandas", "polars"])
def test_a_cell_of_another_type_changes_its_own_row_only(cell, container):
    X, y = data(60)

    def held(table):
        if container == "list":
            return table.tolist()
        if container == "object":
            return table
        columns = {f"c{j}": table[:, j].tolist() for j in range(table.shape[1])}
        if container == "pandas":
            return pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()})
        return pl.DataFrame({k: pl.Series(k, v, dtype=pl.Object) for k, v in columns.items()})

    good, bad = X.astype(object), X.astype(object)
    bad[5, 2] = cell
    first = NewtonClassifier().fit(held(good), y).private_rows_.X
    second = NewtonClassifier().fit(held(bad), y).private_rows_.X
    same = first == second
    same[5] = True
    assert same.all() and second.dtype == np.float64
    assert second[5, 2] == 0.0  # text that reads like a number is text


def test_labels_outside_the_classes_teach_nothing():
    X, y = data()
    y = y.astype(object)
    y[::3] = [None, "maybe", 7, ["no"]][1]
    teacher = NewtonClassifier(classes=["no", "yes"]).fit(X, y)
    assert (teacher.private_rows_.targets[::3] == -1).all()
    kept = np.ones(len(y), bool)
    kept[::3] = False
    assert teacher.class_count_.sum() == kept.sum()


def test_targets_of_a_regression():
    X, _ = data(6)
    y = np.array([-1.0, 0.0, 1.0, 5.0, np.nan, np.inf])
    rows = NewtonRegressor((-1, 1)).fit(X, y).private_rows_
    assert rows.targets.tolist() == [-TARGET_ONE, 0, TARGET_ONE, TARGET_ONE, MISSING, MISSING]


def test_groups_have_equal_weight():
    X, y = data()
    groups = np.repeat(["a", "b", 7, 7.0], 100)
    teacher = NewtonClassifier(classes=["no", "yes"]).fit(X, y, groups=groups)
    rows = teacher.private_rows_
    assert teacher.group_level_ and teacher.n_units_ == rows.n_units
    for name in np.unique(groups):
        assert (rows.rows_of_unit[groups == name] == np.sum(groups == name)).all()


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (NewtonClassifier(classes=["no"]), "at least two"),
        (NewtonClassifier(curvature=np.zeros((3, 9))), "9 columns"),
        (NewtonClassifier(curvature=np.full((3, 4), np.nan)), "NaN"),
        (NewtonRegressor((1, 0)), "output_range"),
        (NewtonRegressor(None), "output_range"),
        (NewtonRegressor((0, 1), loss="absolute"), "'squared'"),
    ],
)
def test_public_settings_that_cannot_be(teacher, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        teacher.fit(X, y if isinstance(teacher, NewtonClassifier) else X[:, 0])


def test_a_failed_fit_leaves_the_earlier_one():
    X, y = data()
    teacher = NewtonClassifier().fit(X, y)
    before = teacher.fit_id_, teacher.private_rows_
    teacher.set_params(curvature=np.zeros((3, 9)))
    with pytest.raises(ValueError, match="9 columns"):
        teacher.fit(X[:50], y[:50])
    assert (teacher.fit_id_, teacher.private_rows_) == before


def test_containers_give_the_same_rows():
    X, y = data()
    X[X < 0] = 0.0
    frame = pd.DataFrame(X, columns=list("abcd"))
    first = NewtonClassifier().fit(X, y)
    for other in (X.tolist(), frame, pl.from_pandas(frame), sp.csr_matrix(X), np.asfortranarray(X)):
        assert same_rows(first, NewtonClassifier().fit(other, y))


def test_curvature_of_the_teacher():
    X, y = data()
    teacher = NewtonClassifier(curvature=X[:50].tolist()).fit(X, y)
    assert np.array_equal(teacher.curvature_, X[:50])


def test_pickle_and_clone():
    X, y = data()
    teacher = NewtonClassifier().fit(X, y)
    again = pickle.loads(pickle.dumps(teacher))
    assert same_rows(teacher, again) and np.array_equal(again.predict(X), teacher.predict(X))
    assert not hasattr(clone(teacher), "private_rows_")


def test_the_owners_model_is_fitted_once_and_when_it_is_asked_for(monkeypatch):
    """A release does not ask."""
    asked, own = [], newton._owners_model
    monkeypatch.setattr(newton, "_owners_model", lambda rows: asked.append(rows) or own(rows))
    X, y = make_classification(300, random_state=0)
    teacher = NewtonClassifier(classes=[0, 1]).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PrivateDistiller(teacher, epsilon=1.0).fit(X[:50] + 1)
    assert not asked
    assert teacher.score(X, y) > 0.8 and teacher.coef_.shape == (1, 20)
    assert np.array_equal(teacher.intercept_, teacher.fit(X, y).intercept_)
    assert len(asked) == 2
    assert not hasattr(NewtonClassifier(), "coef_") and not hasattr(clone(teacher), "intercept_")


def test_many_classes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 3)), np.arange(900) % 300
    teacher = NewtonClassifier(classes=np.arange(300)).fit(X, y)
    assert teacher.predict_proba(X[:5]).shape == (5, 300)


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "boolean", "category", "datetime64[ns]"])
def test_missing_cells_of_frames(dtype):
    values = pd.Series([1, 0, 1, 0, 1, 0]).astype("bool" if dtype == "boolean" else "int64")
    column = values.astype(dtype)
    holed = column.copy()
    holed[2] = None
    first, second = (
        NewtonClassifier(classes=[0, 1])
        .fit(pd.DataFrame({"a": c, "b": np.arange(6.0)}), [0, 1] * 3)
        .private_rows_.X
        for c in (column, holed)
    )
    same = first == second
    same[2] = True
    assert same.all() and second[2].tolist() == [0.0, 2.0]


def test_a_look_at_the_owners_model_leaves_the_teacher_as_it_was():
    """A ledger knows the teacher again after predict, or after its diagram in a notebook."""
    rng = np.random.default_rng(0)
    teacher = NewtonClassifier(classes=[0, 1]).fit(rng.normal(size=(90, 3)), np.arange(90) % 2)
    before = teacher_digest(teacher)
    diagram = teacher._repr_html_()
    assert "class_count_" not in diagram and "coef_" not in diagram
    weights = teacher.coef_
    teacher.predict(np.zeros((1, 3)))
    assert teacher_digest(teacher) == before
    assert np.array_equal(pickle.loads(pickle.dumps(teacher)).coef_, weights)

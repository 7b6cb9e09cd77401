"""Releases of a partitioned X: the price, the law of the noise, and that nothing is drawn twice.

What needs no cluster runs on dask's own threads. The cluster has two worker processes.
"""

import logging
import math
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skdistill import PrivateDistiller, StableLogisticRegression
from skdistill.accounting import PrivacyLoss
from skdistill.release import partitions
from skdistill.release.partitions import LabelsLost, _quiet, is_partitioned
from skdistill.release.releases import TeacherError
from skdistill.teachers import TeacherEnsemble
from skdistill.testing import no_noise

pytestmark = [pytest.mark.filterwarnings("ignore:The released labels are mostly noise")]

CANARY = "canary-41d09e"
A, b = make_classification(1000, 5, n_informative=3, n_redundant=0, random_state=0)
X = A[600:]
SIZES = (150, 0, 1, 200, 49)


@pytest.fixture
def array():
    return pytest.importorskip("dask.array")


@pytest.fixture
def frame():
    return pytest.importorskip("dask.dataframe")


def parts_of(array, X):
    return array.from_array(X, chunks=(SIZES, (3, 2)))


def start():
    """Start two worker processes, of two threads each, that know the classes of this file."""
    distributed = pytest.importorskip("distributed")
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    settings = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = distributed.LocalCluster(silence_logs=logging.CRITICAL, **settings)
        client = distributed.Client(started, set_as_default=False)
        try:
            yield client
        finally:
            client.close()
            started.close()


@pytest.fixture(scope="module")
def shared_workers():
    yield from start()


@pytest.fixture
def cluster(shared_workers):
    with shared_workers.as_current():
        yield shared_workers


@pytest.fixture
def doomed_workers():
    yield from start()


@pytest.fixture
def doomed_cluster(doomed_workers):
    with doomed_workers.as_current():
        yield doomed_workers


class Told(ClassifierMixin, BaseEstimator):
    """A teacher that answers, raises or dies as it is told, and writes down what it was asked."""

    def __init__(self, what="answer", path=None):
        self.what = what
        self.path = path

    def fit(self, X, y):
        self.secret_ = CANARY
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        X = np.asarray(X)
        with open(self.path or os.devnull, "a") as file:
            file.write(f"{X[0, 0]:g}\n")
        if self.what == "raise":
            raise ValueError(CANARY)
        if self.what == "die" and X[0, 0] == 3:
            os._exit(1)
        return np.full((len(X), 2), 0.5)

    def __getstate__(self):
        if self.what == "stay":
            raise ValueError(CANARY)
        return super().__getstate__()


def told(*args):
    return Told(*args).fit(None, None)


def all_noisy(labels, others=0.5):
    """Whether 200 labels have noise: at most one is what it was.

    By chance one is with a probability below 1e-8, as noise is more than 2**25 steps of the
    lattice; two of 200 are with less than 1e-11.
    """
    return np.sum(labels == others) < 2


def numbered(array):
    """Five partitions of 20 rows: 1s, 2s, ..., 5s."""
    return array.from_array(np.repeat(np.arange(1.0, 6.0), 20)[:, None], chunks=(20, 1))


# -- The price ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [SIZES, (1,) * 1000, (10**9, 1, 7), (3, 3, 3), (2**40,)], ids=lambda s: str(s[0])
)
def test_partitions_cost_no_more_than_the_whole(sizes):
    """In exact arithmetic; and a row's noise is what it is on one machine."""
    m, sizes = sum(sizes), [size for size in sizes if size]
    gaussian, laplace = PrivacyLoss.gaussian(1.0, 1e-6), PrivacyLoss.laplace(1.0)
    mus = {n: Fraction(gaussian.part(n / m).mu) ** 2 for n in set(sizes)}
    epsilons = {n: Fraction(laplace.part(n / m).epsilon) for n in set(sizes)}
    assert sum(mus[n] for n in sizes) <= Fraction(gaussian.mu) ** 2
    assert sum(epsilons[n] for n in sizes) <= Fraction(laplace.epsilon)
    for n in set(sizes):
        assert gaussian.part(n / m).scale(math.sqrt(n)) == pytest.approx(
            gaussian.scale(math.sqrt(m)), rel=1e-9
        )
        assert laplace.part(n / m).scale(n) == pytest.approx(laplace.scale(m), rel=1e-9)


class Cashier:
    """An accountant that writes down what it is charged, and how much had been asked by then."""

    def __init__(self, path, error=None):
        self.path, self.error, self.charges = path, error, []

    def spend(self, epsilon, delta):
        self.charges.append((epsilon, delta, self.path.exists()))
        if self.error is not None:
            raise self.error


def test_dask_charges_once_and_first(array, tmp_path):
    log = tmp_path / "asked"
    cashier = Cashier(log)
    distiller = PrivateDistiller(told("answer", str(log)), epsilon=2.0, accountant=cashier)
    distiller.release(numbered(array)).compute()
    assert cashier.charges == [(2.0, 1e-6, False)]
    assert sorted(log.read_text().split()) == ["1", "2", "3", "4", "5"]


def test_dask_nothing_is_asked_when_the_charge_is_refused(array, tmp_path):
    log = tmp_path / "asked"
    cashier = Cashier(log, RuntimeError("spent"))
    distiller = PrivateDistiller(told("answer", str(log)), accountant=cashier)
    with pytest.raises(RuntimeError, match="spent"):
        distiller.release(numbered(array))
    time.sleep(0.1)
    assert not log.exists()


# -- What comes out -----------------------------------------------------------------------------

TEACHERS = {
    "row bound": (LogisticRegression(), {}),
    "laplace": (DecisionTreeClassifier(max_depth=3), {"delta": 0.0}),
    "ensemble": (TeacherEnsemble(LogisticRegression(), 20, classes=[0, 1]), {"basis": None}),
    "votes": (TeacherEnsemble(LogisticRegression(), 20), {"mechanism": "noisy_max"}),
    "parameters": (StableLogisticRegression(0.1, classes=[0, 1]), {}),
    "regressor": (DecisionTreeRegressor(max_depth=3), {"output_range": (-1.0, 2.0)}),
    "regressors": (TeacherEnsemble(Ridge(), 20), {"output_range": (-1.0, 2.0), "basis": None}),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_dask_labels_are_those_of_one_machine_but_for_the_noise(array, name):
    teacher, settings = TEACHERS[name]
    distiller = PrivateDistiller(teacher.fit(A[:600], b[:600]), epsilon=10.0, **settings)
    with no_noise():
        expected = distiller.release(X)
        labels = distiller.set_params(basis="auto").release(parts_of(array, X))  # of no effect
    assert labels.shape == expected.shape
    assert labels.chunks[0] == SIZES
    assert_allclose(labels.compute(), expected, atol=1e-4)


def test_dask_parameters_get_their_noise_once(array, monkeypatch):
    """Here, at the full price; what they give on the partitions is post-processing."""
    calls = []

    def spy(weights, radius, loss, sampler):
        calls.append((radius, loss.mu))
        return original(weights, radius, loss, sampler)

    original = partitions.noisy_weights
    monkeypatch.setattr(partitions, "noisy_weights", spy)
    teacher = StableLogisticRegression(0.1, classes=[0, 1]).fit(A[:600], b[:600])
    distiller = PrivateDistiller(teacher)
    first, second = (distiller.release(parts_of(array, X)).compute() for _ in range(2))
    assert calls == [(teacher.sensitivity_, PrivacyLoss.gaussian(1.0, 1e-6).mu)] * 2
    scores = np.log(first[:, 1] / first[:, 0]), np.log(second[:, 1] / second[:, 0])
    assert not np.allclose(*scores)
    design = np.c_[X / np.maximum(1, np.linalg.norm(X, axis=1)[:, None]), np.ones(len(X))]
    for each in scores:  # one set of parameters for all partitions
        fitted = design @ np.linalg.lstsq(design, each)[0]
        assert_allclose(fitted, each, atol=1e-6)


def test_dask_data_frame(frame):
    import pandas as pd

    names = ["a", "b", "c", "d", "e"]
    teacher = LogisticRegression().fit(pd.DataFrame(A[:600], columns=names), b[:600])
    parts = frame.from_pandas(pd.DataFrame(X, columns=names), npartitions=4)
    distiller = PrivateDistiller(teacher, epsilon=math.inf)
    assert_allclose(distiller.release(parts).compute(), teacher.predict_proba(parts.compute()))
    with pytest.raises(ValueError, match=r"missing \['a'\], unexpected \['z'\]"):
        distiller.release(parts.rename(columns={"a": "z"}))


def test_dask_unknown_sizes_are_counted(array):
    parts = parts_of(array, X)
    chosen = parts[parts[:, 0] > 0]
    assert np.isnan(chosen.shape[0])
    teacher = LogisticRegression().fit(A[:600], b[:600])
    labels = PrivateDistiller(teacher, epsilon=math.inf).release(chosen)
    assert_allclose(labels.compute(), teacher.predict_proba(X[X[:, 0] > 0]))


@pytest.mark.slow
def test_dask_law_of_the_noise(array):
    """Three partitions of very different size: variance as on one machine, no correlation.

    For N independent values of standard deviation σ, their sum of squares by σ² is χ²(N). Each of
    four sums (the partitions, the whole) may be wrong by 10⁻⁷ on either side, and each of three
    correlations of n pairs, √n·r being standard normal, by 2·Φ(−5.5) = 4·10⁻⁸: together 10⁻⁶. The
    lattice adds less than 10⁻⁹ of σ² by its rounding.
    """
    sizes = (300, 10_000, 50_000)
    parts = array.zeros((sum(sizes), 1), chunks=(sizes, 1))
    distiller = PrivateDistiller(told(), epsilon=1.0, mechanism="gaussian")
    sigma = PrivacyLoss.gaussian(1.0, 1e-6).scale(math.sqrt(2 * sum(sizes)))
    noise = (distiller.release(parts).compute() - 0.5) / sigma
    each = np.split(noise, np.cumsum(sizes)[:-1])
    for values in (*each, noise):
        p = chi2.cdf((values**2).sum(), values.size)
        assert 1e-7 < p < 1 - 1e-7
    for i, j in ((0, 1), (0, 2), (1, 2)):
        x, y = (part[: min(sizes[i], sizes[j])].ravel() for part in (each[i], each[j]))
        assert abs(np.corrcoef(x, y)[0, 1]) * math.sqrt(len(x)) < 5.5


def test_dask_fit_fetches_random_rows(array):
    teacher = LogisticRegression().fit(A[:600], b[:600])
    distiller = PrivateDistiller(teacher, epsilon=math.inf, max_queries=120, random_state=0)
    distiller.fit(parts_of(array, X))
    assert distiller.query_indices_.shape == (120,)
    assert (np.diff(distiller.query_indices_) > 0).all()
    assert_allclose(
        distiller.released_labels_, teacher.predict_proba(X[distiller.query_indices_]), atol=1e-9
    )
    with pytest.raises(ValueError, match="max_queries"):
        distiller.set_params(max_queries=None).fit(parts_of(array, X))


def test_dask_fit_on_a_data_frame(frame):
    import pandas as pd

    table = pd.DataFrame(X, columns=["a", "b", "c", "d", "e"])
    teacher = LogisticRegression().fit(pd.DataFrame(A[:600], columns=table.columns), b[:600])
    distiller = PrivateDistiller(teacher, epsilon=math.inf, max_queries=90)
    distiller.fit(frame.from_pandas(table, npartitions=4))
    rows = table.iloc[distiller.query_indices_]
    assert_allclose(distiller.released_labels_, teacher.predict_proba(rows), atol=1e-9)
    assert list(distiller.feature_names_in_) == list(table.columns)


# -- What is refused ----------------------------------------------------------------------------


def test_dask_rounds_are_refused_before_the_charge(array, tmp_path):
    cashier = Cashier(tmp_path / "asked")
    teacher = TeacherEnsemble(LogisticRegression(), 20, classes=[0, 1]).fit(A[:600], b[:600])
    distiller = PrivateDistiller(teacher, n_rounds=2, accountant=cashier)
    with pytest.raises(ValueError, match="n_rounds=1"):
        distiller.release(parts_of(array, X))
    assert cashier.charges == []
    distiller.set_params(n_rounds="auto").release(parts_of(array, X))
    assert len(cashier.charges) == 1


def test_dask_rows_that_come_and_go(array, tmp_path):
    """The noise was calibrated for fewer rows: nothing is asked."""
    import dask

    reads = []

    @dask.delayed(pure=False)
    def read():
        reads.append(1)
        return np.ones((10 if len(reads) == 1 else 1000, 1))

    parts = array.from_delayed(read(), (np.nan, 1), np.float64)
    log = tmp_path / "asked"
    distiller = PrivateDistiller(told("answer", str(log)))
    with pytest.raises(ValueError, match="1000 rows and had 10"):
        distiller.release(parts).compute()
    assert not log.exists()


def test_dask_schedulers_that_nobody_knows(array, tmp_path):
    """One that runs every task twice, as some do when a result is lost. Nothing is charged."""
    import dask
    import dask.threaded

    log = tmp_path / "asked"
    cashier = Cashier(log)
    distiller = PrivateDistiller(told("answer", str(log)), accountant=cashier)

    def twice(*args, **kwargs):
        dask.threaded.get(*args, **kwargs)
        return dask.threaded.get(*args, **kwargs)

    with (
        dask.config.set(scheduler=twice),
        pytest.raises(ValueError, match="may repeat tasks"),
    ):
        distiller.release(array.zeros((6, 1), chunks=(2, 1)))
    assert cashier.charges == []
    assert not log.exists()


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_dask_schedulers_of_one_machine(array, tmp_path, scheduler):
    import dask
    from dask.graph_manipulation import clone as graph_clone

    log = tmp_path / "asked"
    with dask.config.set(scheduler=scheduler):
        labels = PrivateDistiller(told("answer", str(log))).release(numbered(array))
        first = labels.compute()
        for copy in (
            labels,
            graph_clone(labels),
            pickle.loads(pickle.dumps(labels)),
            labels.persist(),
        ):
            assert_array_equal(copy.compute(), first)
    assert draws(log) == ["1", "2", "3", "4", "5"]
    assert b"Told" not in pickle.dumps(labels)


def test_dask_parts_of_differing_types(array):
    """The types of each part are those it has, whatever dask believes."""
    import dask

    teacher = LogisticRegression().fit(A[:600], b[:600])
    single = X[:100].astype(np.float32)
    parts = array.concatenate(
        [
            array.from_delayed(dask.delayed(single), single.shape, np.float64),
            array.from_array(X[100:], chunks=(300, 5)),
        ]
    )
    distiller = PrivateDistiller(teacher, epsilon=math.inf, max_queries=150)
    assert_allclose(distiller.release(parts).compute(), teacher.predict_proba(X), atol=1e-6)
    rows = distiller.fit(parts).query_indices_
    assert_allclose(distiller.released_labels_, teacher.predict_proba(X[rows]), atol=1e-6)


def test_dask_frame_with_categories_and_repeated_index(frame):
    import pandas as pd

    names = ["low", "high", "high", "low", "middle"] * 40
    table = pd.DataFrame({"kind": pd.Categorical(names), "x": X[:200, 0]}, index=[7] * 200)
    teacher = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    teacher = teacher.fit(table, np.arange(200) % 2)
    parts = frame.from_pandas(table.reset_index(drop=True), npartitions=4)
    parts = parts.map_partitions(lambda part: part.set_axis([7] * len(part)))
    # One part is empty, and of the sizes nothing is known.
    parts = frame.concat([parts, parts[parts.x > 99], parts[parts.kind == "low"]])
    expected = teacher.predict_proba(pd.concat([table, table[table.kind == "low"]]))
    distiller = PrivateDistiller(teacher, clone(teacher), epsilon=math.inf, max_queries=50)
    assert_allclose(distiller.release(parts).compute(), expected)
    distiller.fit(parts)
    assert_allclose(distiller.released_labels_, expected[distiller.query_indices_])


def test_dask_frame_whose_parts_know_other_categories(frame):
    """As files do. pandas would make text of them, which no model takes."""
    import dask
    import pandas as pd

    tables = [
        pd.DataFrame({"kind": pd.Categorical(kinds), "x": np.arange(20.0)})
        for kinds in (["a", "b"] * 10, ["c", "b"] * 10)
    ]
    teacher = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    whole = pd.concat([table.astype({"kind": str}) for table in tables]).astype(
        {"kind": "category"}
    )
    teacher.fit(whole, np.arange(40) % 3 > 0)
    meta = tables[0].iloc[:0].assign(kind=pd.Categorical([]))
    parts = frame.from_delayed(
        [dask.delayed(table) for table in tables], meta=meta, verify_meta=False
    )
    parts = parts.assign(kind=parts.kind.cat.as_unknown())
    expected = np.vstack([teacher.predict_proba(table) for table in tables])
    distiller = PrivateDistiller(teacher, clone(teacher), epsilon=math.inf, max_queries=30)
    assert_allclose(distiller.release(parts).compute(), expected)
    distiller.fit(parts)
    assert_allclose(distiller.released_labels_, expected[distiller.query_indices_])


def test_dask_other_collections(array):
    import dask.bag

    distiller = PrivateDistiller(told())
    with pytest.raises(TypeError, match="an array or a data frame"):
        distiller.release(dask.bag.from_sequence([1, 2]))
    with pytest.raises(ValueError, match="Expected 2D array"):
        distiller.release(array.zeros(10))
    with pytest.raises(ValueError, match="0 sample"):
        distiller.release(array.zeros((0, 2)))


def test_what_is_partitioned():
    assert not is_partitioned(X)
    assert not is_partitioned(X.tolist())


# -- On a cluster -------------------------------------------------------------------------------


@pytest.mark.slow
def test_dask_cluster_computes_the_same_labels_again(cluster, array, tmp_path):
    log = tmp_path / "asked"
    distiller = PrivateDistiller(told("answer", str(log)))
    labels = distiller.release(numbered(array))
    first = labels.compute()
    assert_array_equal(labels.compute(), first)
    assert_array_equal(labels[30:50].compute(), first[30:50])
    assert sorted(log.read_text().split()) == ["1", "2", "3", "4", "5"]
    assert all_noisy(first)
    assert all_noisy(distiller.release(numbered(array)).compute(), first)  # another release
    graph = pickle.dumps({str(key): value for key, value in dict(labels.dask).items()})
    assert CANARY.encode() not in graph
    assert b"Told" not in graph


@pytest.mark.slow
def test_dask_cluster_never_draws_again_for_a_dead_worker(doomed_cluster, array, tmp_path):
    """The teacher kills its process in partition 3; dask runs the task once more, elsewhere."""
    log = tmp_path / "asked"
    labels = PrivateDistiller(told("die", str(log))).release(numbered(array))
    with pytest.raises(LabelsLost, match="another release"):
        labels.compute()
    asked = log.read_text().split()
    assert asked.count("3") == 1
    assert len(asked) == len(set(asked))


def draws(path):
    """What the teacher was asked for, by partition."""
    return sorted(path.read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["client", "get"])
def test_dask_cluster_that_is_no_default(shared_workers, array, tmp_path, how):
    """A cluster named in dask's configuration: tasks repeated there need a ticket as well."""
    import dask

    client = shared_workers
    log = tmp_path / "asked"
    teacher = told("answer", str(log))
    with dask.config.set(scheduler=client if how == "client" else client.get):
        assert partitions._client() is client
        labels = PrivateDistiller(teacher).release(numbered(array))
    assert partitions._client() is None
    assert all_noisy(client.compute(labels).result())
    assert draws(log) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_dask_cluster_configured_never_draws_again_for_a_dead_worker(
    doomed_workers, array, tmp_path
):
    import dask

    log = tmp_path / "asked"
    with dask.config.set(scheduler=doomed_workers):
        labels = PrivateDistiller(told("die", str(log))).release(numbered(array))
        with pytest.raises(LabelsLost, match="another release"):
            labels.compute()
    asked = log.read_text().split()
    assert asked.count("3") == 1
    assert len(asked) == len(set(asked))


@pytest.mark.slow
def test_dask_cluster_inside_of_a_task(cluster, tmp_path):
    """A task that releases: dask would work on the cluster, and so does the release."""
    log = tmp_path / "asked"

    def task():
        import dask.array

        labels = PrivateDistiller(told("answer", str(log))).release(numbered(dask.array))
        return partitions._client() is not None, labels.compute()

    found, labels = cluster.submit(task, pure=False).result(timeout=120)
    assert found
    assert all_noisy(labels)
    assert draws(log) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_dask_cluster_repeats_nothing_that_is_asked_for_again(cluster, array, tmp_path):
    """Copies of the graph, of the labels, and a retry: one draw of each partition."""
    from concurrent.futures import CancelledError

    from dask.graph_manipulation import clone as graph_clone
    from distributed import futures_of

    log = tmp_path / "asked"
    labels = PrivateDistiller(told("answer", str(log))).release(numbered(array))
    first = labels.compute()
    copies = [graph_clone(labels), pickle.loads(pickle.dumps(labels)), labels.persist()]
    copies += [labels.rechunk((7, 2)), labels.map_blocks(np.array)]
    for copy in copies:
        assert_array_equal(copy.compute(), first)
    cluster.retry(futures_of(labels))  # dask forgets them, then, and has no other
    with pytest.raises((LabelsLost, CancelledError)):
        labels.compute()
    assert draws(log) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["row bound", "parameters"])
def test_dask_cluster_that_loses_labels(doomed_cluster, array, name):
    """Labels with noise of their own are gone; those of released parameters are made again."""
    from concurrent.futures import CancelledError

    from distributed import futures_of

    teacher, settings = TEACHERS[name]
    distiller = PrivateDistiller(teacher.fit(A[:600], b[:600]), **settings)
    labels = distiller.release(parts_of(array, X))
    before = labels.compute()
    (holder, *_), *_ = doomed_cluster.who_has(futures_of(labels)).values()
    (pid,) = doomed_cluster.run(os.getpid, workers=[holder]).values()
    os.kill(pid, signal.SIGKILL)
    if name == "parameters":
        assert_array_equal(labels.compute(), before)
        return
    with pytest.raises((LabelsLost, CancelledError)):
        labels.compute()


@pytest.mark.slow
def test_dask_cluster_tells_nothing_of_what_a_teacher_raised(cluster, array):
    labels = PrivateDistiller(told("raise")).release(numbered(array))
    with pytest.raises(TeacherError) as caught:
        labels.compute()
    text = "".join(traceback.format_exception(caught.value))
    with pytest.raises((TeacherError, TypeError)) as caught:  # it cannot be sent
        PrivateDistiller(told("stay")).release(numbered(array))
    text += "".join(traceback.format_exception(caught.value))
    logs = [line for lines in cluster.get_worker_logs().values() for line in lines]
    assert CANARY not in text + str(logs) + str(cluster.get_scheduler_logs())


@pytest.mark.slow
def test_dask_cluster_labels_a_data_frame(cluster, frame):
    import pandas as pd

    table = pd.DataFrame(X, columns=["a", "b", "c", "d", "e"])
    teacher = LogisticRegression().fit(pd.DataFrame(A[:600], columns=table.columns), b[:600])
    labels = PrivateDistiller(teacher, epsilon=1e9).release(frame.from_pandas(table, npartitions=4))
    assert_allclose(labels.compute(), teacher.predict_proba(table), atol=1e-3)


def test_teacher_error_survives_the_way_from_a_worker():
    assert str(pickle.loads(pickle.dumps(TeacherError()))) == str(TeacherError())


def test_warnings_stay_off_until_the_last_thread_is_done():
    """The first leaves while the second still asks; what the second warns of is not shown."""
    inside, left = threading.Event(), threading.Event()

    def second():
        with _quiet():
            inside.set()
            left.wait(10)
            warnings.warn(CANARY, stacklevel=1)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        thread = threading.Thread(target=second)
        with _quiet():
            thread.start()
            assert inside.wait(10)
        left.set()
        thread.join(10)
        assert seen == []
        warnings.warn("shown", stacklevel=1)
        assert [str(each.message) for each in seen] == ["shown"]

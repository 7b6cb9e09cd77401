"""Write and read a student with its statement, as a file that runs no code.

The file is a skops file (a zip archive of ``schema.json`` and arrays) with one more entry,
``privacy.json``: the statement.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skdistill.publishing.private_parts import holds_network
from skdistill.publishing.published import Published, publish
from skdistill.statement import PrivacyStatement

_STATEMENT = "privacy.json"

# Types that a student may hold beside those skops trusts. They store arrays, numbers and other
# estimators; reading one calls nothing but its constructor and sets attributes.
_KERNELS = "ConstantKernel WhiteKernel RBF Matern RationalQuadratic ExpSineSquared DotProduct Sum"
_TYPES = f"""
numpy: dtype
scipy.sparse._csr: csr_matrix csr_array
scipy.sparse._csc: csc_matrix csc_array
skdistill.schema.column: Column
skdistill.schema.schema: Schema
skdistill.students.thresholded: ThresholdedStudent
skdistill.transfer.encoding: SchemaRows
skdistill.transfer.table_features: CategoryMap NumberMap TableFeatures
sklearn._loss.loss: HalfTweedieLoss HalfTweedieLossIdentity
sklearn.calibration: _CalibratedClassifier _SigmoidCalibration
sklearn.ensemble._hist_gradient_boosting.predictor: TreePredictor
sklearn.gaussian_process._gpc: _BinaryGaussianProcessClassifierLaplace
sklearn.gaussian_process.kernels: {_KERNELS} Product Exponentiation
sklearn.metrics._dist_metrics: EuclideanDistance64
sklearn.multiclass: _ConstantPredictor
sklearn.neighbors._ball_tree: BallTree
sklearn.neighbors._kd_tree: KDTree
sklearn.neural_network._stochastic_optimizers: AdamOptimizer SGDOptimizer
sklearn.tree._tree: Tree
sklearn.utils._bunch: Bunch
"""
_TRUSTED = tuple(
    f"{module}.{name}"
    for module, _, names in (line.partition(":") for line in _TYPES.split("\n"))
    for name in names.split()
)


class UnsafeFileError(ValueError):
    """A file was refused before anything in it was built.

    Examples
    --------
    >>> import skdistill
    >>> skdistill.load(skdistill.__file__, digest="0" * 64)
    Traceback (most recent call last):
    skdistill.publishing.files.UnsafeFileError: The file has the digest ...
    """


def save(published: Any, path: Any, *, vouch: bool = False) -> str:
    """Write a student and its statement to a file that can be read without running code.

    Needs skops (``pip install "skdistill[publish]"``).

    Parameters
    ----------
    published : Published, PrivateDistiller or PrivateClassifier
        A distiller is exported first.
    path : str or path-like
        The file; by convention it ends in ``.skops``.
    vouch : bool, default=False
        True writes a :class:`~skdistill.publishing.Published` that was made by hand, or whose
        estimator was changed. Then only your word says that the statement is true of the estimator.

    Returns
    -------
    digest : str
        SHA-256 of the file. Announce it where the file cannot be changed along with it, and pass
        it to :func:`load`.

    Raises
    ------
    TypeError
        For an object without a statement, and for a student that cannot be written without pickle
        (a network: save it by its own library).
    ValueError
        For a student that holds the teacher, and for one that nothing ties to its statement.

    Warns
    -----
    UserWarning
        For types that readers will have to name, such as an estimator of your own.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skdistill
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(3_000, random_state=0)
    >>> teacher = skdistill.NewtonClassifier(classes=[0, 1]).fit(X[:2_000], y[:2_000])
    >>> distiller = skdistill.PrivateDistiller(teacher, epsilon=4.0).fit(X[2_000:])
    >>> path = Path(tempfile.mkdtemp()) / "student.skops"
    >>> digest = skdistill.save(distiller, path)  # doctest: +SKIP
    >>> skdistill.load(path, digest=digest).statement.epsilon  # doctest: +SKIP
    4.0
    """
    published = _claimed(published, vouch)
    name = type(getattr(published.estimator, "student", published.estimator)).__name__
    refusal = TypeError(
        f"This student ({name}) cannot be written without pickle. Save a network by its own "
        "library, and published.statement.to_json() beside it."
    )
    if holds_network(published.estimator):
        raise refusal
    skops = _skops()
    try:
        data = skops.dumps(published.estimator, compression=zipfile.ZIP_DEFLATED)
    except Exception as error:
        raise refusal from error
    unknown = set(skops.get_untrusted_types(data=data)).difference(_TRUSTED)
    if unknown:
        warnings.warn(
            f"Readers of this file have to name types that load does not trust by itself: "
            f"load(..., trust={sorted(unknown)}).",
            stacklevel=2,
        )
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_STATEMENT, published.statement.to_json(indent=1))
    Path(path).write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def load(path: Any, *, digest: str | None = None, trust: bool | Iterable[str] = False) -> Published:
    """Read a student and its statement from a file.

    Parameters
    ----------
    path : str or path-like
        A file that :func:`save` wrote.
    digest : str, default=None
        The text that ``save`` returned, from a source that you trust. It is compared with the
        SHA-256 of the file before anything in the file is parsed.
    trust : bool or iterable of str, default=False
        True reads a file without a digest: you trust everybody who could have written it. A list
        names further types that the file may hold, ``["lightgbm.sklearn.LGBMClassifier"]`` for
        instance, with or without a digest. A type of yours or of another library may run code of
        its own when it is rebuilt: name types that you know.

    Returns
    -------
    published : Published
        The student as an estimator, and its statement.

    Raises
    ------
    ValueError
        Without `digest` and `trust`. As an :class:`~skdistill.publishing.UnsafeFileError` for
        another digest, for types that are not trusted, and for a file that :func:`save` did not
        write: nothing in the file has been built or called then.

    Notes
    -----
    The statement is the publisher's claim; a file without its digest may have been rebuilt as a
    whole, statement included. skops builds types of its own list, of this package's and of `trust`
    alone. Made-up arrays inside these can exhaust the memory, and a made-up tree can crash the
    process when it predicts.

    Examples
    --------
    >>> import skdistill
    >>> skdistill.load("student.skops")  # see skdistill.save
    Traceback (most recent call last):
    ValueError: Without a digest nobody can tell whether this is the file that was published. ...
    """
    if not isinstance(digest, str | None):
        raise TypeError(f"digest={digest!r} must be the text that save() returned.")
    named = [trust] if isinstance(trust, str) else [] if isinstance(trust, bool) else list(trust)
    if digest is None and not trust:
        raise ValueError(
            "Without a digest nobody can tell whether this is the file that was published. Pass "
            "load(path, digest=...) as save() returned it, or load(path, trust=True) if you trust "
            "everybody who could have written the file."
        )
    data = Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if digest is not None and found != digest.strip().lower():
        raise UnsafeFileError(f"The file has the digest {found}, not {digest}: damaged or changed.")
    skops = _skops()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            statement = PrivacyStatement.from_dict(json.loads(archive.read(_STATEMENT)))
        unknown = set(skops.get_untrusted_types(data=data)).difference(_TRUSTED, named)
    except Exception:
        raise UnsafeFileError("skdistill.save did not write this file, or it is damaged.") from None
    if unknown:
        raise UnsafeFileError(
            f"The file holds types that are not trusted: {', '.join(sorted(unknown))}. If you know "
            f"them and whom the file is from, name them: load(..., trust={sorted(unknown)})."
        )
    try:
        estimator = skops.loads(data, trusted=[*_TRUSTED, *named])
    except Exception as error:
        raise ValueError("The student in the file cannot be rebuilt.") from error
    if not hasattr(estimator, "predict"):
        raise ValueError("The file holds no student: nothing in it predicts.")
    return Published(estimator, statement) if digest is None else publish(estimator, statement)


def _claimed(published: Any, vouch: bool) -> Published:
    """Export a distiller; raise where nothing ties a statement to its estimator."""
    if not isinstance(published, Published):
        if isinstance(published, type) or not hasattr(published, "export"):
            raise TypeError(
                f"Only a distiller's student has a statement, and <{type(published).__name__}> is "
                "no distiller. Give a fitted PrivateDistiller or PrivateClassifier; of a search, "
                "its best_estimator_."
            )
        published = published.export()
    statement = published.statement
    if not isinstance(statement, PrivacyStatement):
        raise TypeError(
            f"A student is published with its PrivacyStatement, not with {statement!r}. Save "
            "the result of distiller.export()."
        )
    if not published.is_tied() and not vouch:
        raise ValueError(
            "This Published was made by hand, or its estimator was changed: nothing says that the "
            "statement is true of the estimator. Save the distiller, or the result of "
            "distiller.export(). If you can answer for the claim: save(..., vouch=True)."
        )
    return published


def _skops() -> Any:
    try:
        import skops.io
    except ImportError:
        raise ImportError(
            'Saving and loading students needs skops: pip install "skdistill[publish]".'
        ) from None
    return skops.io

"""Measuring what a file describes, before anything of it is built."""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import numpy as np

from skdistill.publishing.archive import UnsafeFileError, entries_of

__all__ = ["COMPILED", "SCHEMA", "TRUSTED", "UNREADABLE", "check_arrays", "check_schema"]

SCHEMA = "schema.json"
# Types that a student may hold beside those skops trusts. They store arrays, numbers and other
# estimators; reading one calls nothing but its ``__new__`` and sets its attributes.
TRUSTED = (
    "skdistill.publishing.published.PublishedClassifier",
    *("skdistill.schema.column.Column", "skdistill.schema.schema.Schema"),
    "skdistill.transfer.features.SchemaRows",
    "skdistill.transfer.table_features.TableFeatures",
    *(f"skdistill.transfer.column_maps.{name}" for name in ("CategoryMap", "NumberMap")),
    "skdistill.teachers.stable_linear.ClippedRows",
    "numpy.dtype",
    *("sklearn._loss.loss.HalfTweedieLoss", "sklearn._loss.loss.HalfTweedieLossIdentity"),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            *("ConstantKernel", "WhiteKernel", "RBF", "Matern", "RationalQuadratic"),
            *("ExpSineSquared", "DotProduct", "Sum", "Product", "Exponentiation"),
        )
    ),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
)
# Compiled structures whose indices nobody checks: made-up ones crash the process when they are
# used, or worse. They are read from a file that is known to be the one announced.
COMPILED = (
    *("sklearn.tree._tree.Tree", "sklearn.metrics._dist_metrics.EuclideanDistance64"),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._ball_tree.BallTree"),
    *("scipy.sparse._csr.csr_matrix", "scipy.sparse._csr.csr_array"),
    *("scipy.sparse._csc.csc_matrix", "scipy.sparse._csc.csc_array"),
)
# These build one of the above, whatever type they name; so they must name it.
_COMPILED_LOADERS = {
    "SparseMatrixNode": re.compile(r"scipy\.sparse\._[a-z]+\.[a-z]+_(matrix|array)"),
    "TreeNode": re.compile(r"sklearn\.tree\._tree\.Tree"),
}


def check_arrays(entries: dict[str, bytes], max_bytes: int) -> None:
    """Raise for arrays that claim to be larger than they are, and for archives in the archive.

    ``numpy.load`` makes room for what the header of an array says, and sparse matrices are zip
    archives themselves: both are measured before anyone opens them.
    """
    left = max_bytes - sum(map(len, entries.values()))
    for content in entries.values():
        if content.startswith(b"PK"):
            inner = dict(entries_of(content, max(left, 0)))
            left -= sum(map(len, inner.values()))
            arrays = list(inner.values())
        else:
            arrays = [content]
        for array in arrays:
            if array.startswith(b"\x93NUMPY"):
                _header(array)


def _header(array: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an array that is as large as its header says."""
    stream = io.BytesIO(array)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(stream)
    except Exception:
        raise UnsafeFileError("An array in the file has a damaged header.") from None
    size = math.prod(shape)
    if dtype.hasobject or size * dtype.itemsize != len(array) - stream.tell() or size > len(array):
        raise UnsafeFileError("An array in the file is not as large as its header says.")
    return shape, dtype


UNREADABLE = "The file's description of the student cannot be read."


def check_schema(entries: dict[str, bytes], longest: int) -> set[str]:
    """Raise for a student larger than its description; return the compiled types in it.

    skops writes whatever occurs twice twice, with one number, and reads it once. A file made up
    can write a number alone, inside of what has that number, or 40 times two in each other: then
    the audit never ends. So everything of one number must be of one size. By induction over
    sizes, the student is then no larger than the text; a cycle would be smaller than itself. For
    the same reason no content is read twice, and a number is no request for as many bytes.

    Parameters
    ----------
    entries : dict of str to bytes
    longest : int
        Bytes that the text may have; reading takes about 30 times as much memory.
    """
    text = entries[SCHEMA]
    if len(text) > longest:
        raise UnsafeFileError("The file's description of the student is too long.")
    sizes: dict[Any, int] = {}
    compiled: set[str] = set()
    left = sum(map(len, entries.values()))

    def measure(value: Any) -> int:
        nonlocal left
        if not isinstance(value, (dict, list)):
            return 1
        size = 1
        for each in value.values() if isinstance(value, dict) else value:
            size += measure(each)
        if isinstance(value, dict) and not value.keys().isdisjoint(("__loader__", "__id__")):
            number = value.get("__id__")
            if not number or number not in sizes:
                left -= _check_node(value, entries)
                if number:
                    sizes[number] = size
            if sizes.get(number, size) != size or left < 0:
                raise ValueError
            name = f"{value['__module__']}.{value['__class__']}"
            builds = _COMPILED_LOADERS.get(value["__loader__"])
            if builds and not builds.fullmatch(name):
                raise ValueError
            if name in COMPILED:
                compiled.add(name)
        return size

    try:
        measure(json.loads(text))
    except Exception:
        raise UnsafeFileError(UNREADABLE) from None
    return compiled


def _check_node(node: dict[str, Any], entries: dict[str, bytes]) -> int:
    """Return the bytes of the entry that a node reads; raise where it is another kind of number."""
    if not isinstance(node.get("file"), str):
        return 0
    content = entries[node["file"]]
    if node["__loader__"] == "NdArrayNode":
        shape, dtype = _header(content)
        kind = {"str_": "U", "bytes_": "S", "void": ""}.get(node["__class__"], "biufcmM")
        if node["__class__"] != "ndarray" and (shape or dtype.kind not in kind):
            raise ValueError
    return len(content)

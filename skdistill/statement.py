"""PrivacyStatement: what a release promises, in words a lawyer can read."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PrivacyStatement"]

NOT_PROTECTED = (
    "the transfer set X: the student sees its features in the clear",
    "the number of training records of the teacher",
    "the teacher's class labels and column names",
    "that the teacher raised an exception, where it did (not what it said)",
)


@dataclass(frozen=True, kw_only=True)
class PrivacyStatement:
    """What one release promises about the teacher's training records.

    Parameters
    ----------
    epsilon, delta : float
        The whole release is (epsilon, delta)-differentially private: every transfer row and every
        part of the release is inside.
    mu : float or None
        The Gaussian-DP parameter of the release (Dong, Roth and Su 2022), if it has one.
    relation : str
        Which data sets count as neighbours.
    mechanism : str
        ``"gaussian"``, ``"laplace"``, ``"post-processing"`` or ``"none"``.
    certificate : dict
        ``name``, ``bound``, ``reason`` and ``reference`` of the sensitivity bound.
    n_queries : int
        Transfer rows that were labelled.
    assumes : tuple of str
        What the guarantee needs and the package cannot check.
    not_protected : tuple of str
        What the guarantee does not cover.
    sampler : str
        Where the noise came from.
    private : bool
        False where no guarantee is given (no noise, or seeded noise).
    """

    epsilon: float
    delta: float
    mu: float | None
    relation: str
    mechanism: str
    certificate: dict[str, str]
    n_queries: int
    assumes: tuple[str, ...]
    not_protected: tuple[str, ...] = NOT_PROTECTED
    sampler: str
    private: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as a JSON-serialisable dictionary (an infinite ε as a string)."""
        record = asdict(self)
        record["assumes"] = list(self.assumes)
        record["not_protected"] = list(self.not_protected)
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                record[name] = str(value)
        return record

    def to_json(self, **options: Any) -> str:
        """Return :meth:`to_dict` as JSON text; `options` go to :func:`json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def __str__(self) -> str:
        if not self.private:
            promise = (
                "This release gives NO differential privacy guarantee: its labels were made with "
                f"mechanism {self.mechanism!r} and noise from {self.sampler}."
            )
        else:
            delta = "" if self.delta == 0 else f", δ={self.delta:.3g}"
            mu = "" if self.mu is None else f" (Gaussian-DP parameter μ={self.mu:.4g})"
            rows = f" of {self.n_queries} transfer rows together" if self.n_queries else ""
            promise = (
                f"This release is differentially private with ε={self.epsilon:.6g}{delta}{mu}. "
                f"That is for the whole release{rows}. "
                f"Neighbouring data sets: {self.relation}. "
                f"Mechanism: {self.mechanism}; noise from {self.sampler}."
            )
        proof = self.certificate
        lines = [promise, f"Bound: {proof['name']}, {proof['bound']}. {proof['reason']}"]
        if proof["reference"]:
            lines[-1] += f" [{proof['reference'].rstrip('.')}]"
        if self.assumes:
            lines.append("It assumes that " + "; that ".join(self.assumes) + ".")
        lines.append("Not protected: " + "; ".join(self.not_protected) + ".")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        color = "#2a7d4f" if self.private else "#b3261e"
        title = f"ε = {self.epsilon:.6g}" + (f", δ = {self.delta:.3g}" if self.delta else "")
        head = title if self.private else f"not private ({title} asked)"
        rows = [
            ("mechanism", self.mechanism),
            ("noise", self.sampler),
            ("neighbours", self.relation),
            ("bound", f"{self.certificate['name']}: {self.certificate['bound']}"),
            ("why", f"{self.certificate['reason']} {self.certificate['reference']}"),
            ("transfer rows", str(self.n_queries or "none")),
            ("assumes", "; ".join(self.assumes) or "nothing further"),
            ("not protected", "; ".join(self.not_protected)),
        ]
        if self.mu is not None:
            rows.insert(1, ("Gaussian-DP μ", f"{self.mu:.4g}"))
        body = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in rows
        )
        return (
            f"<table><caption style='color:{color};font-weight:bold;text-align:left'>"
            f"{html.escape(head)}</caption>{body}</table>"
        )

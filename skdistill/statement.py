"""PrivacyStatement: the promise of a release, in words and in fields."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from enum import Enum
from importlib.resources import files
from typing import Any, Self
from unicodedata import category

from skdistill._html import html_table
from skdistill.accounting.attack_limits import gaussian_tpr, largest_balanced_accuracy, private_tpr
from skdistill.accounting.relation import Relation, Unit

#: The data that the statements of a distiller, and of an estimator for private tables, are about.
TEACHER_DATA = "the teacher's training data"
PRIVATE_TABLE = "the private table, features and labels"

PUBLIC_TRANSFER_SET = "the transfer set X: the student sees its features in the clear"

NOT_PROTECTED = (
    PUBLIC_TRANSFER_SET,
    "the number of training records of the teacher",
    "the teacher's class labels, and the names and the number of columns",
    "that the teacher raised an exception, where it did (its message is withheld)",
)

#: Version of the format of :meth:`PrivacyStatement.to_dict`.
FORMAT = 1

_FALSE_POSITIVES = 0.01  # where texts state the largest true-positive rate
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_PROOF = frozenset({"name", "bound", "reason", "reference"})


@dataclass(frozen=True, kw_only=True)
class PrivacyStatement:
    """The promise that one release makes about the private records.

    Parameters
    ----------
    epsilon, delta : float
        The whole release, all rows and parts of it, is (epsilon, delta)-differentially private.
    mu : float or None
        The Gaussian-DP parameter of the release (Dong, Roth and Su 2022), if it has one.
    relation : Relation
        How neighbouring data sets differ: ``"replace-one"`` or ``"add-or-remove"``.
    unit : Unit
        The unit that is replaced, added or removed: ``"record"`` or ``"group"``.
    subject : str
        The data set that the promise is about, such as "the teacher's training data".
    mechanism : str
        ``"gaussian"``, ``"laplace"``, ``"post-processing"`` or ``"none"``, with details.
    certificate : dict
        ``name``, ``bound``, ``reason`` and ``reference`` of the sensitivity bound.
    n_queries : int
        Transfer rows that were labelled.
    assumes : tuple of str
        Conditions of the guarantee that the package cannot check.
    not_protected : tuple of str
        Facts that the guarantee does not cover.
    sampler : str
        Where the noise came from.
    private : bool
        False where no guarantee is given (no noise, or seeded noise).
    accounted : bool
        Whether an accountant was charged: else other fits on the same data are not counted.
    cap : tuple of (float, float) or None
        The (epsilon, delta) that the accountant allows for all that is charged to it. This is the
        figure to publish: a total that is read off after looking at results is no guarantee.
    cap_relation : Relation
        The relation that `cap` is counted in.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdistill import NewtonClassifier, PrivateDistiller
    >>> X, y = make_classification(3_000, random_state=0)
    >>> teacher = NewtonClassifier(classes=[0, 1]).fit(X[:2_000], y[:2_000])
    >>> statement = PrivateDistiller(teacher).preview(X[2_000:])
    >>> statement.epsilon, statement.delta, str(statement.relation)
    (1.0, 1e-06, 'replace-one')
    >>> print(statement)
    This release is differentially private with ε=1, δ=1e-06 (Gaussian-DP parameter μ=0.2367). ...
    """

    epsilon: float
    delta: float
    mu: float | None
    relation: Relation = Relation.REPLACE_ONE
    unit: Unit = Unit.RECORD
    subject: str = TEACHER_DATA
    mechanism: str
    certificate: dict[str, str]
    n_queries: int
    assumes: tuple[str, ...]
    not_protected: tuple[str, ...] = NOT_PROTECTED
    sampler: str
    private: bool
    accounted: bool = False
    cap: tuple[float, float] | None = None
    cap_relation: Relation = Relation.REPLACE_ONE

    def __post_init__(self) -> None:
        # The dataclass is frozen; strings are accepted and kept as enum members.
        object.__setattr__(self, "relation", Relation(self.relation))
        object.__setattr__(self, "unit", Unit(self.unit))
        object.__setattr__(self, "cap_relation", Relation(self.cap_relation))

    @property
    def neighbours(self) -> str:
        """Which data sets count as neighbours, in words."""
        unit = self.unit
        if self.relation is Relation.REPLACE_ONE:
            return f"replace one {unit} of {self.subject}; the number of {unit}s is public"
        return f"add one {unit} to {self.subject}, or remove one"

    @property
    def scope(self) -> str:
        """Whether other releases are counted, in words."""
        if not self.accounted:
            return "Other fits on the same data, and a search around this one, are not counted"
        if self.cap is None or not math.isfinite(self.cap[0]):
            return "An accountant without a cap was charged"
        held = f"{_price(*self.cap)} ({self.cap_relation})"
        return f"Everything charged to the same ledger together is held to {held}"

    def largest_true_positive_rate(self, false_positive_rate: float = 0.01) -> float:
        """Return the highest true-positive rate of any attack at this false-positive rate.

        The attack knows all that is released, and all records but one.

        Parameters
        ----------
        false_positive_rate : float, default=0.01
            From 0 to 1.

        Returns
        -------
        rate : float
            1.0 where no guarantee is given.
        """
        if not 0 <= false_positive_rate <= 1:
            raise ValueError(f"false_positive_rate={false_positive_rate!r} must be from 0 to 1.")
        if not self.private:
            return 1.0
        if self.mu is not None:
            return float(gaussian_tpr(false_positive_rate, self.mu))
        return float(private_tpr(false_positive_rate, self.epsilon, self.delta))

    def largest_balanced_accuracy(self) -> float:
        """Return the highest balanced accuracy of any attack; 1.0 where no guarantee is given.

        Returns
        -------
        accuracy : float
            The share of right answers where both data sets are equally likely; a guess has 0.5.
        """
        if not self.private:
            return 1.0
        return largest_balanced_accuracy(self.epsilon, self.delta, self.mu)

    @property
    def limits(self) -> str:
        """The limits of any attack, in words."""
        accuracy = _percent(self.largest_balanced_accuracy())
        rate = _percent(self.largest_true_positive_rate(_FALSE_POSITIVES))
        return (
            f"an attack that tells two neighbouring data sets apart is right in at most {accuracy} "
            f"of cases (a guess in 50 %), and at {_percent(_FALSE_POSITIVES)} false positives it "
            f"has at most {rate} true positives"
        )

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON schema (draft 2020-12) of :meth:`to_dict`.

        Returns
        -------
        schema : dict
            Its ``version`` property is the version of the format.
        """
        text = files("skdistill").joinpath(f"statement-v{FORMAT}.schema.json").read_text("utf-8")
        return dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as a JSON-serialisable dictionary, as :meth:`json_schema` says.

        Returns
        -------
        record : dict
            One entry for each field, and the ``version``. Infinite numbers are strings.
        """
        return {"version": FORMAT} | {k: _as_json(value) for k, value in asdict(self).items()}

    def to_json(self, **options: Any) -> str:
        """Return :meth:`to_dict` as JSON text.

        Parameters
        ----------
        **options : dict
            For :func:`json.dumps`.

        Returns
        -------
        text : str
            One JSON object.
        """
        return json.dumps(self.to_dict(), **options)

    @classmethod
    def from_dict(cls, record: Any) -> Self:
        """Read a statement back from :meth:`to_dict`.

        Parameters
        ----------
        record : dict
            Exactly the fields of a statement, and the version of the format.

        Returns
        -------
        statement : PrivacyStatement

        Raises
        ------
        ValueError
            If a field is missing, unknown or of another type, if a text holds control characters
            (which can hide printed text), or if the numbers cannot be those of a guarantee.
        """
        names = {"version", *(field.name for field in fields(cls))}
        if type(record) is not dict or set(record) != names:
            raise ValueError("A privacy statement has other fields.")
        record = dict(record)
        if type(version := record.pop("version")) is not int or version != FORMAT:
            raise ValueError(f"This statement is not of version {FORMAT}, which can be read here.")
        for name in ("epsilon", "delta"):
            record[name] = _number(record[name])
        record["mu"] = None if record["mu"] is None else _number(record["mu"])
        for name in ("assumes", "not_protected"):
            record[name] = _texts(record[name])
        for name in ("relation", "unit", "subject", "mechanism", "sampler", "cap_relation"):
            _texts([record[name]])
        if type(record["certificate"]) is not dict or not set(record["certificate"]) >= _PROOF:
            raise ValueError("A privacy statement names its certificate.")
        _texts(list(record["certificate"].values()))
        if record["cap"] is not None:
            epsilon, delta = _listed(record["cap"])
            record["cap"] = (_number(epsilon), _number(delta))
        whole = type(record["n_queries"]) is int and record["n_queries"] >= 0
        if not (whole and type(record["private"]) is type(record["accounted"]) is bool):
            raise ValueError("A field of a privacy statement has another type.")
        statement = cls(**record)
        if not statement._is_sound():
            raise ValueError("These numbers are not those of a guarantee.")
        return statement

    def _is_sound(self) -> bool:
        """Whether the numbers could be those of a guarantee."""
        cap = (0.0, 0.0) if self.cap is None else self.cap
        return (
            self.epsilon >= 0
            and 0 <= self.delta <= 1
            and (self.mu is None or self.mu >= 0)
            and (math.isfinite(self.epsilon) or not self.private)
            and cap[0] >= 0
            and 0 <= cap[1] <= 1
            and (self.accounted or self.cap is None)
        )

    def __str__(self) -> str:
        noise = self.sampler if self.sampler == "no noise" else f"noise from {self.sampler}"
        if not self.private:
            promise = (
                "This release gives NO differential privacy guarantee: its labels were made with "
                f"mechanism {self.mechanism!r} and {noise}."
            )
        else:
            mu = "" if self.mu is None else f" (Gaussian-DP parameter μ={self.mu:.4g})"
            rows = f" of {self.n_queries} transfer rows together" if self.n_queries else ""
            promise = (
                f"This release is differentially private with {_price(self.epsilon, self.delta)}"
                f"{mu}. That is for the whole release{rows}. {self.scope}. "
                f"Neighbouring data sets: {self.neighbours}. "
                f"Mechanism: {self.mechanism}; {noise}.\n"
                f"Limits: {self.limits}."
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
        title = f"ε = {self.epsilon:.6g}" + (f", δ = {self.delta:.3g}" if self.delta else "")
        head = title if self.private else f"not private ({title} asked)"
        rows = [
            ("neighbours", self.neighbours),
            ("limits", self.limits if self.private else "none"),
            ("counted", self.scope),
            ("not protected", "; ".join(self.not_protected)),
            ("assumes", "; ".join(self.assumes) or "nothing further"),
            ("mechanism", self.mechanism),
            ("noise", self.sampler),
            ("Gaussian-DP μ", "none" if self.mu is None else f"{self.mu:.4g}"),
            ("bound", f"{self.certificate['name']}: {self.certificate['bound']}"),
            ("why", f"{self.certificate['reason']} {self.certificate['reference']}"),
            ("transfer rows", str(self.n_queries or "none")),
        ]
        return html_table(rows, head, good=self.private)


def _percent(share: float) -> str:
    """Return a limit in percent, rounded up to three digits (of the distance from 100, too)."""
    digits = 1 - math.floor(math.log10(100 * min(share, 1 - share))) if 0 < share < 1 else 0
    scale = 10 ** max(1, digits)
    return f"{min(100.0, math.ceil(100 * share * scale - 1e-9) / scale):.12g} %"


def _price(epsilon: float, delta: float) -> str:
    return f"ε={epsilon:.6g}" + ("" if delta == 0 else f", δ={delta:.3g}")


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it: a text for a member, and for a number that is not finite."""
    if isinstance(value, tuple):
        return list(map(_as_json, value))
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float:
    """Return a number that :func:`_as_json` wrote."""
    if type(value) is str and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if type(value) is int or type(value) is float:
        return value
    raise ValueError("A number of a privacy statement is none.")


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError("A field of a privacy statement has another type.")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    """Return texts that show themselves: without controls that move or hide printed text."""
    for value in _listed(values):
        if type(value) is not str:
            raise ValueError("A text of a privacy statement is none.")
        if any(category(each) in ("Cc", "Cf") and each not in "\n\t" for each in value):
            raise ValueError("A text of a privacy statement holds control characters.")
    return tuple(values)

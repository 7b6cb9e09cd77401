"""skdistill: differentially private knowledge distillation for scikit-learn."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skdistill.distiller import PrivateDistiller
from skdistill.release.gradients import GradientRounds
from skdistill.release.parameters import Parameters
from skdistill.release.residual_rounds import ResidualRounds
from skdistill.release.soft_labels import SoftLabels
from skdistill.release.votes import ConfidentMax, NoisyMax
from skdistill.statement import PrivacyStatement
from skdistill.teachers import NewtonClassifier, NewtonRegressor, TeacherEnsemble

if TYPE_CHECKING:
    from skdistill._show_versions import show_versions
    from skdistill.accounting import PrivacyLedger
    from skdistill.private_table import PrivateClassifier, PrivateRegressor, learn_bounds
    from skdistill.publishing import load, save
    from skdistill.schema import Schema
    from skdistill.teachers.refit import refit
    from skdistill.transfer import TableFeatures

__all__ = [
    "ConfidentMax", "GradientRounds", "NewtonClassifier", "NewtonRegressor", "NoisyMax",
    "Parameters", "PrivacyLedger", "PrivacyStatement", "PrivateClassifier", "PrivateDistiller",
    "PrivateRegressor", "ResidualRounds", "Schema", "SoftLabels", "TableFeatures",
    "TeacherEnsemble", "__version__", "learn_bounds", "load", "refit", "save", "show_versions",
]  # fmt: skip

__version__ = "0.1.0"

# Imported when they are asked for, so that `import skdistill` stays as fast as scikit-learn.
_LATER = {
    **dict.fromkeys(("PrivateClassifier", "PrivateRegressor", "learn_bounds"), "private_table"),
    **dict.fromkeys(("load", "save"), "publishing"),
    "PrivacyLedger": "accounting",
    "Schema": "schema",
    "TableFeatures": "transfer",
    "refit": "teachers.refit",
    "show_versions": "_show_versions",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

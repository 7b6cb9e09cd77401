"""What a release costs: privacy losses, and how they add.

``BudgetAccountant`` is diffprivlib's; it is imported when it is asked for, and also where
``import diffprivlib`` itself fails (on scikit-learn 1.9 and newer).
"""

from typing import Any

from skdistill.accounting.loss import (
    PrivacyLoss,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
)

__all__ = ["BudgetAccountant", "PrivacyLoss", "gaussian_delta", "gaussian_epsilon", "gaussian_mu"]


def __getattr__(name: str) -> Any:
    if name == "BudgetAccountant":
        from skdistill._diffprivlib import load

        return load("accountant").BudgetAccountant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

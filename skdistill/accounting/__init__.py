"""What a release costs: privacy losses, how they add, and the ledger that keeps the sum.

``PrivacyLedger``, ``plan`` and diffprivlib's ``BudgetAccountant`` are imported when they are asked
for. The latter also where ``import diffprivlib`` itself fails (on scikit-learn 1.9 and newer).
"""

from typing import TYPE_CHECKING, Any

from skdistill.accounting.loss import (
    PrivacyLoss,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
)

if TYPE_CHECKING:
    from skdistill.accounting.ledger import PrivacyLedger
    from skdistill.accounting.searches import SearchCost, plan

__all__ = [
    "BudgetAccountant",
    "PrivacyLedger",
    "PrivacyLoss",
    "SearchCost",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "plan",
]


def __getattr__(name: str) -> Any:
    if name == "BudgetAccountant":
        from skdistill._diffprivlib import load

        return load("accountant").BudgetAccountant
    if name == "PrivacyLedger":
        from skdistill.accounting.ledger import PrivacyLedger

        return PrivacyLedger
    if name in ("SearchCost", "plan"):
        from skdistill.accounting import searches

        return getattr(searches, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The price of a release: privacy losses, how they add, and the ledger that keeps the sum.

``PrivacyLedger``, ``search_cost`` and diffprivlib's ``BudgetAccountant`` are imported on first use.
The latter also where ``import diffprivlib`` itself fails (on scikit-learn 1.9 and newer).
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
    from skdistill.accounting.search_costs import SearchCost, search_cost

__all__ = [
    "BudgetAccountant",
    "PrivacyLedger",
    "PrivacyLoss",
    "SearchCost",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "search_cost",
]


def __getattr__(name: str) -> Any:
    if name == "BudgetAccountant":
        from skdistill._diffprivlib import load

        return load("accountant").BudgetAccountant
    if name == "PrivacyLedger":
        from skdistill.accounting.ledger import PrivacyLedger

        return PrivacyLedger
    if name in ("SearchCost", "search_cost"):
        from skdistill.accounting import search_costs

        return getattr(search_costs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

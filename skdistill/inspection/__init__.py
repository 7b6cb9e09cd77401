"""Pictures: the price of ε, the leakage of a model, the spending of a ledger.

Displays follow scikit-learn's conventions: a class method computes, ``plot`` draws, and ``ax_`` and
``figure_`` hold the picture. They need matplotlib: ``pip install skdistill[plot]``.
"""

from skdistill.inspection.budget import BudgetDisplay
from skdistill.inspection.membership import MembershipDisplay
from skdistill.inspection.privacy_utility import PrivacyUtilityDisplay

__all__ = ["BudgetDisplay", "MembershipDisplay", "PrivacyUtilityDisplay"]

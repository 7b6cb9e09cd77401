"""PyTorch losses and scores for soft targets. Imported only where skorch is in use."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from torch.nn import NLLLoss
except ImportError:  # for tools that import every module; nothing here is used without PyTorch
    NLLLoss = object


class SoftNLLLoss(NLLLoss):
    """Negative log-likelihood whose target is a distribution: −Σ_c y_c·log p_c, row by row.

    For targets of class indices it is ``torch.nn.NLLLoss``.
    """

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """Return the loss of log-probabilities for targets of shape (m,) or (m, n_classes)."""
        if not target.is_floating_point():
            return super().forward(input, target)
        terms = input * target if self.weight is None else input * target * self.weight
        rows = -terms.sum(dim=1)
        return rows.sum() if self.reduction == "sum" else rows.mean()


def soft_accuracy(net: Any, X: Any, y: Any) -> float:
    """Return the share of rows on which a net's class is the soft label's largest."""
    y = np.asarray(y)
    wanted = y.argmax(axis=1) if y.ndim == 2 else y > 0.5
    return float(np.mean(net.predict(X) == wanted))

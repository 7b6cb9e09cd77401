"""Audits: how much teacher and student leak, and whether the guarantee holds."""

from skdistill.audit.attacks import (
    classwise_attack,
    lira_attack,
    log_odds,
    loss_attack,
    modified_entropy_attack,
    quantile_attack,
    rmia_attack,
    squared_error_attack,
)
from skdistill.audit.bounds import (
    clopper_pearson_epsilon,
    clopper_pearson_mu,
    one_run_epsilon,
    one_run_p_value,
)
from skdistill.audit.canaries import Canaries, make_canaries
from skdistill.audit.distillers import AuditResult, audit_distiller
from skdistill.audit.experiments import OneRunAudit, TwoWorldAudit, one_run_audit, two_world_audit
from skdistill.audit.membership import attack, membership_report
from skdistill.audit.report import MembershipReport
from skdistill.audit.shadow import ShadowDistiller, ShadowModels, train_shadow_models

__all__ = [
    "AuditResult", "Canaries", "MembershipReport", "OneRunAudit", "ShadowDistiller", "ShadowModels",
    "TwoWorldAudit", "attack", "audit_distiller", "classwise_attack", "clopper_pearson_epsilon",
    "clopper_pearson_mu", "lira_attack", "log_odds", "loss_attack", "make_canaries",
    "membership_report", "modified_entropy_attack", "one_run_audit", "one_run_epsilon",
    "one_run_p_value", "quantile_attack", "rmia_attack", "squared_error_attack",
    "train_shadow_models", "two_world_audit",
]  # fmt: skip

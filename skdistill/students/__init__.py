"""Students: training ordinary scikit-learn estimators on noisy soft labels."""

from skdistill.students.calibration import calibration_of, offsets_from_counts
from skdistill.students.defaults import default_classifier, default_regressor
from skdistill.students.linear import linear_student
from skdistill.students.rehearsal import rehearse
from skdistill.students.soft_targets import (
    class_scores,
    fit_on_soft_labels,
    fit_on_values,
    fit_with_unlabelled,
    hard_labels,
    how_to_train,
    probabilities,
)
from skdistill.students.threshold import fixed_offsets, offsets_for_prior, predicted_codes
from skdistill.students.thresholded import ThresholdedStudent, student_has
from skdistill.students.training import check_threshold, encoder_of, match_threshold, train

__all__ = [
    "ThresholdedStudent",
    "calibration_of",
    "check_threshold",
    "class_scores",
    "default_classifier",
    "default_regressor",
    "encoder_of",
    "fit_on_soft_labels",
    "fit_on_values",
    "fit_with_unlabelled",
    "fixed_offsets",
    "hard_labels",
    "how_to_train",
    "linear_student",
    "match_threshold",
    "offsets_for_prior",
    "offsets_from_counts",
    "predicted_codes",
    "probabilities",
    "rehearse",
    "student_has",
    "train",
]

"""Students: training ordinary scikit-learn estimators on noisy soft labels."""

from skdistill.students.rehearsal import rehearse
from skdistill.students.thresholded import (
    ThresholdedStudent,
    calibration_of,
    offsets_from_counts,
    student_has,
)
from skdistill.students.training import (
    check_threshold,
    encoder_of,
    linear_student,
    match_threshold,
    train,
)

__all__ = [
    "ThresholdedStudent",
    "calibration_of",
    "check_threshold",
    "encoder_of",
    "linear_student",
    "match_threshold",
    "offsets_from_counts",
    "rehearse",
    "student_has",
    "train",
]

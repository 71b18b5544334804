"""The model's inside: probes on activations, steering vectors and what they do."""

from cotlab.whitebox.behaviour_study import StudyPlan, StudyResult, divergence
from cotlab.whitebox.behaviours import BEHAVIOURS, Behaviour, behaviour, label_rollout
from cotlab.whitebox.capture import CapturePlan, capture_run, read_capture
from cotlab.whitebox.directions import METHODS as VECTOR_METHODS
from cotlab.whitebox.directions import behaviour_vector, measure_norms, text_vector
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.making import make_vector, with_norms
from cotlab.whitebox.probe import Probe, ProbeCard
from cotlab.whitebox.probe_fit import METHODS, Method, fit_probe
from cotlab.whitebox.probe_report import Calibration, ProbeReport, evaluate_probe
from cotlab.whitebox.steering_study import steer_report

__all__ = [
    "BEHAVIOURS",
    "METHODS",
    "VECTOR_METHODS",
    "Behaviour",
    "Calibration",
    "CapturePlan",
    "Examples",
    "Method",
    "Probe",
    "ProbeCard",
    "ProbeReport",
    "StudyPlan",
    "StudyResult",
    "behaviour",
    "behaviour_vector",
    "capture_run",
    "divergence",
    "evaluate_probe",
    "fit_probe",
    "label_rollout",
    "make_vector",
    "measure_norms",
    "read_capture",
    "steer_report",
    "text_vector",
    "with_norms",
]

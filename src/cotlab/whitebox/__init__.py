"""The model's inside: probes on activations."""

from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe import Probe, ProbeCard
from cotlab.whitebox.probe_fit import METHODS, Method, fit_probe
from cotlab.whitebox.probe_report import Calibration, ProbeReport, evaluate_probe

__all__ = [
    "METHODS",
    "Calibration",
    "Examples",
    "Method",
    "Probe",
    "ProbeCard",
    "ProbeReport",
    "evaluate_probe",
    "fit_probe",
]

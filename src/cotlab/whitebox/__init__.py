"""The model's inside: reading, probes, steering, lenses, patching and attention, on single sequences and on runs.

inside = Inside.open("tiny")                        a transformers model whose every activation can be read, changed
read_lens(inside, ids)                              what each layer would say
patch_grid(inside, Pair(clean, corrupt, a, b))      which activations carry the difference of two runs
attribute_edges(inside, pairs)                      which edges of the computational graph carry it (EAP, EAP-IG)
evaluate_circuit(inside, pairs, circuit)            what the largest of them do alone
step_attention(inside, ids, spans)                  attention between steps, by head
suppression_matrix(inside, ids, spans)              what later steps lose when a step is hidden from them
evaluate_probe(examples)                            how well a direction tells a label on unseen problems
make_vector(...), steer_report(...)                 steering vectors, and what they do beyond their controls
capture_run(run, engine, ...)                       activations of a whole run, kept in its folder
"""

from cotlab.whitebox.along_chain import ProbeCurve, probe_curve
from cotlab.whitebox.answer_lens import AnswerLens, LensMonitor, answer_logprobs, common_stub
from cotlab.whitebox.at_end import EndReader
from cotlab.whitebox.attention import ReceiverHeads, receiver_heads, step_attention, suppression_matrix
from cotlab.whitebox.attribution import Attribution, Edge, attribute_edges
from cotlab.whitebox.behaviour_study import StudyPlan, StudyResult
from cotlab.whitebox.behaviours import BEHAVIOURS, Behaviour, behaviour, label_rollout
from cotlab.whitebox.bridge import bridge_of, open_bridge, read_bridge
from cotlab.whitebox.capture import CapturePlan, capture_run, read_capture
from cotlab.whitebox.chain_attention import ChainAttention
from cotlab.whitebox.circuits import CircuitReport, evaluate_circuit
from cotlab.whitebox.class_steering import (
    SteerArm,
    SteeredContrast,
    SteeredGroup,
    class_vector,
    cross_groups,
    draw_steered,
    steer_arms,
    steered_contrasts,
)
from cotlab.whitebox.directions import METHODS as VECTOR_METHODS
from cotlab.whitebox.directions import behaviour_vector, measure_norms, text_vector
from cotlab.whitebox.early_exit import ExitChain, ExitReport, ExitRow, judge_exits
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.exit_study import exit_run
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.inspecting import Inspection, PatchscopeReading, patchscope
from cotlab.whitebox.layer_report import LayerReport, steer_layers
from cotlab.whitebox.layer_study import divergence, kl_attribution
from cotlab.whitebox.lens import LensReading, TunedLens, read_lens, train_tuned_lens
from cotlab.whitebox.live_capture import capture_live
from cotlab.whitebox.making import make_vector, with_norms
from cotlab.whitebox.monitor import ActivationMonitor
from cotlab.whitebox.pairs import chain_pair, other_steps, step_pairs
from cotlab.whitebox.patching import Pair, PatchGrid, patch_grid, patch_heads
from cotlab.whitebox.probe import Probe, ProbeCard
from cotlab.whitebox.probe_fit import METHODS, Method, fit_probe
from cotlab.whitebox.probe_report import Calibration, ProbeReport, evaluate_probe
from cotlab.whitebox.probe_study import ProbeStudy, probe_run
from cotlab.whitebox.run_examples import LABELS, LabelledRollout, labelled_rollouts, read_examples
from cotlab.whitebox.steering_study import steer_report
from cotlab.whitebox.suppressing import SuppressionBranch, compare_suppression, suppress_run, suppress_step

__all__ = [
    "ActivationMonitor",
    "AnswerLens",
    "BEHAVIOURS",
    "LABELS",
    "METHODS",
    "VECTOR_METHODS",
    "Attribution",
    "Behaviour",
    "Calibration",
    "CapturePlan",
    "ChainAttention",
    "CircuitReport",
    "Edge",
    "Examples",
    "EndReader",
    "ExitChain",
    "ExitReport",
    "ExitRow",
    "Inside",
    "Inspection",
    "LabelledRollout",
    "LayerReport",
    "LensMonitor",
    "LensReading",
    "Method",
    "Pair",
    "PatchGrid",
    "PatchscopeReading",
    "Probe",
    "ProbeCard",
    "ProbeCurve",
    "ProbeReport",
    "ProbeStudy",
    "ReceiverHeads",
    "SteerArm",
    "SteeredContrast",
    "SteeredGroup",
    "StudyPlan",
    "StudyResult",
    "SuppressionBranch",
    "TunedLens",
    "answer_logprobs",
    "attribute_edges",
    "behaviour",
    "behaviour_vector",
    "bridge_of",
    "capture_live",
    "capture_run",
    "chain_pair",
    "class_vector",
    "common_stub",
    "compare_suppression",
    "cross_groups",
    "divergence",
    "draw_steered",
    "evaluate_circuit",
    "evaluate_probe",
    "exit_run",
    "fit_probe",
    "judge_exits",
    "kl_attribution",
    "label_rollout",
    "labelled_rollouts",
    "make_vector",
    "measure_norms",
    "open_bridge",
    "other_steps",
    "patch_grid",
    "patch_heads",
    "patchscope",
    "probe_curve",
    "probe_run",
    "read_bridge",
    "read_capture",
    "read_examples",
    "read_lens",
    "receiver_heads",
    "steer_arms",
    "steer_layers",
    "steer_report",
    "steered_contrasts",
    "step_attention",
    "step_pairs",
    "suppress_run",
    "suppress_step",
    "suppression_matrix",
    "text_vector",
    "train_tuned_lens",
    "with_norms",
]

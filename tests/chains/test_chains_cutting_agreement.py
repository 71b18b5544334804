import importlib.util
import json
import sys
from pathlib import Path

import pytest

from cotlab.chains import CUTTERS, get_cutter

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "thought-anchors-labels"
EXPERIMENT = ROOT / "experiments" / "cutting-agreement"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published Thought Anchors traces are not here")


@pytest.fixture(scope="module")
def experiment():
    spec = importlib.util.spec_from_file_location("cutting_agreement_run", EXPERIMENT / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def traces(experiment):
    return list(experiment.read_traces(DATA))


def test_agreement_with_the_published_chunks(experiment, traces):
    found = experiment.compare(traces, get_cutter("sentences/1"))
    assert found["precision"] >= 0.92
    assert found["recall"] >= 0.935


def test_the_published_rule_is_restated_exactly(experiment, traces):
    assert experiment.compare(traces, get_cutter("thought-anchors/1"))["f1"] == 1


def test_the_committed_table_is_what_the_cutters_give(experiment, traces):
    committed = json.loads((EXPERIMENT / "results.json").read_text(encoding="utf-8"))
    now = {cutter.id: experiment.compare(traces, cutter) for cutter in CUTTERS if cutter.rule}
    assert committed["agreement"] == now


def test_no_cut_of_a_real_chain_falls_into_a_formula(traces):
    for trace in traces:
        ends = get_cutter().cut_text(trace.text)
        starts = [0, *ends]
        for start, end in zip(starts, ends, strict=False):
            step = trace.text[start:end]
            assert step.count("\\(") == step.count("\\)"), step
            assert step.count("\\[") == step.count("\\]"), step
            assert step.count("{") == step.count("}"), step

"""What is drawn stands where the numbers say."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from cotlab.reports.figure import SHARES_HEIGHT, VALUE_HEIGHT, VALUE_TOP, draw_chain
from cotlab.stats.estimate import Estimate


@pytest.fixture
def chain(report):
    return report.chains[0]


def parts(chain, name):
    return [e for e in ET.fromstring(str(draw_chain(chain, "c0"))).iter() if name in e.get("class", "").split()]


def test_a_dot_for_each_prefix_at_its_value(chain):
    dots = parts(chain, "value-dot")
    values = [step.value_before.value for step in chain.steps] + [chain.steps[-1].value_after.value]
    assert [float(dot.get("cy")) for dot in dots] == pytest.approx(
        [VALUE_TOP + VALUE_HEIGHT * (1 - value) for value in values], abs=0.01
    )
    xs = [float(dot.get("cx")) for dot in dots]
    assert xs == sorted(xs)


def test_a_prefix_without_a_value_breaks_the_curve(chain):
    steps = list(chain.steps)
    steps[5] = replace(steps[5], value_before=Estimate.missing("2 rollouts, 10 are needed"))
    broken = replace(chain, steps=tuple(steps))
    assert len(parts(chain, "curve")) == 1
    assert [len(line.get("points").split()) for line in parts(broken, "curve")] == [5, 8]


def test_sparse_positions_stand_at_their_own_numbers(chain):
    """Steps 3–7 shown as one: what stands behind them stands where it stood, and the axis leaves their place free."""
    first, last = chain.steps[3], chain.steps[7]
    together = replace(first, n_steps=5, value_after=last.value_after)
    sparse = replace(chain, steps=(*chain.steps[:3], together, *chain.steps[8:]))
    assert sparse.n_steps == chain.n_steps == 13
    assert [step.label for step in sparse.steps[2:5]] == ["2", "3–7", "8"]
    ticks = [e for e in parts(sparse, "middle") if e.text.isdigit()]
    shown = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13]
    assert [int(tick.text) for tick in ticks] == shown
    places = {int(tick.text): float(tick.get("x")) for tick in parts(chain, "middle")}
    assert [float(tick.get("x")) for tick in ticks] == pytest.approx([places[kept] for kept in shown])
    assert [float(dot.get("cx")) for dot in parts(sparse, "value-dot")] == pytest.approx([places[k] for k in shown])
    assert [float(node.get("cx")) for node in parts(sparse, "node")] == pytest.approx([places[k] for k in shown[1:]])
    hits = parts(sparse, "hit")
    assert [float(hit.get("x")) for hit in hits] == pytest.approx([places[k] for k in shown[:-1]])
    assert float(hits[3].get("width")) == pytest.approx(5 * float(hits[0].get("width")), abs=0.05)


def test_the_outcomes_of_a_prefix_fill_its_bar(chain):
    bars = parts(chain, "outcome")
    first = [float(bar.get("height")) for bar in bars if bar.get("x") == bars[0].get("x")]
    assert sum(first) == pytest.approx(SHARES_HEIGHT, abs=0.05)
    assert first[0] == pytest.approx(0.55 * SHARES_HEIGHT, abs=0.01)


def test_branches_are_the_repeated_alternatives_of_each_step(chain):
    assert len(parts(chain, "leaf")) == 4 * len(chain.steps)
    assert len(parts(chain, "unknown-value")) == len(chain.steps)
    assert len(parts(chain, "node")) == len(chain.steps)

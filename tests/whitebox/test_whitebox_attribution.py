"""Edge attribution against exact edge patching, and the passes against models that are taken apart by hand."""

import pytest
import torch
from inside_small import CIRCUIT, FAMILIES, circuit_model, inside_of, random_model, tokens

from cotlab.errors import DataError
from cotlab.interventions import HookPoint
from cotlab.whitebox import Attribution, Pair, attribute_edges, evaluate_circuit
from cotlab.whitebox.attribution import losses
from cotlab.whitebox.edge_passes import EdgePasses
from cotlab.whitebox.edges import EdgeGraph

AT, N = 3, 8


def pair_of(inside, seed):
    """Two runs that differ in one token and its twin, and the answers that the model itself tells them apart by."""
    clean = [token % 40 for token in tokens(N, seed)]
    corrupt = [*clean[:AT], clean[AT] + 40, *clean[AT + 1 :]]
    with torch.inference_mode():
        change = inside.logits(clean)[-1] - inside.logits(corrupt)[-1]
    return Pair(tuple(clean), tuple(corrupt), int(change.argmax()), int(change.argmin()))


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request):
    inside = inside_of(random_model(request.param))
    return inside, EdgePasses.of(inside), pair_of(inside, 0)


@pytest.fixture(scope="module")
def planted():
    inside = inside_of(circuit_model())
    pairs = [pair_of(inside, seed) for seed in range(8)]
    return inside, pairs, attribute_edges(inside, pairs, method="exact"), attribute_edges(inside, pairs)


def test_what_is_written_sums_to_the_residual_stream_and_gives_the_logits(opened):
    inside, passes, pair = opened
    trace, last = passes.trace(pair.clean), HookPoint("resid_post", 1)
    assert trace.written.shape == (11, N, 32)
    assert torch.allclose(trace.written.sum(0), inside.read(pair.clean, [last])[last], atol=1e-4)
    assert torch.allclose(trace.logits, inside.logits(pair.clean)[-1], atol=1e-4)
    z, m = HookPoint("z", 1), HookPoint("mlp_out", 0)
    seen = inside.read(pair.clean, [z, m])
    project = inside.model.model.layers[1].self_attn.o_proj.weight
    by_hand = seen[z][:, 16:24] @ project[:, 16:24].T
    assert torch.allclose(trace.written[passes.graph.writers.index("a1.h2")], by_hand, atol=1e-5)
    assert torch.equal(trace.written[passes.graph.writers.index("m0")], seen[m])


def test_all_edges_clean_or_all_corrupt_give_the_two_runs(opened):
    _, passes, pair = opened
    clean, corrupt = passes.trace(pair.clean), passes.trace(pair.corrupt)
    every = torch.ones(11, len(passes.graph.readers), dtype=torch.bool)
    assert torch.allclose(passes.patched(pair.clean, corrupt.written, every), clean.logits, atol=1e-5)
    assert torch.allclose(passes.patched(pair.clean, corrupt.written, ~every), corrupt.logits, atol=1e-3)


@pytest.mark.parametrize(
    ("writer", "reader"),
    [("a0.h1", "logits"), ("m0", "m1"), ("a1.h3", "m1"), ("a0.h3", "a1.h2.q"), ("m0", "a1.g1.k"), ("a0.h3", "a1.g0.v")],
)
def test_one_edge_is_what_a_layer_computed_by_hand_gives(opened, writer, reader):
    """Layer 1 written out anew with rotary embedding, norms and grouped heads of transformers' own functions."""
    inside, passes, pair = opened
    clean, corrupt = passes.trace(pair.clean), passes.trace(pair.corrupt)
    u, v = passes.graph.writers.index(writer), passes.graph.readers.index(reader)
    kept = torch.ones(11, len(passes.graph.readers), dtype=torch.bool)
    kept[u, v] = False
    with torch.inference_mode():
        by_hand = edge_by_hand(inside, clean.written, corrupt.written[u] - clean.written[u], reader)
    assert torch.allclose(passes.patched(pair.clean, corrupt.written, kept), by_hand, atol=1e-4)
    assert (by_hand - clean.logits).abs().max() > 1e-3, "the edge must do something for this test to mean something"


def edge_by_hand(inside, written, change, reader):
    """Logits where one reader of the last layer, or the logits, reads a changed residual stream."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    model, layer = inside.model.model, inside.model.model.layers[1]
    x, attention = written[:6].sum(0)[None], layer.self_attn
    cos, sin = model.rotary_emb(x, torch.arange(N)[None])
    plain, other = layer.input_layernorm(x), layer.input_layernorm(x + change)

    def heads(project, part, count, norm=None):
        found = [project(stream).view(1, N, count, 8) for stream in (plain, other)]
        if norm is not None:
            found = [norm(one) for one in found]
        taken = [
            found[1 if reader == f"a1.{'h' if part == 'q' else 'g'}{i}.{part}" else 0][:, :, i] for i in range(count)
        ]
        return torch.stack(taken, dim=1)

    q = heads(attention.q_proj, "q", 4, getattr(attention, "q_norm", None))
    k = heads(attention.k_proj, "k", 2, getattr(attention, "k_norm", None))
    v = heads(attention.v_proj, "v", 2)
    q, k = apply_rotary_pos_emb(q, k, cos, sin)
    k, v = (one.repeat_interleave(2, dim=1) for one in (k, v))
    weights = (q @ k.mT / 8**0.5).masked_fill(~torch.tril(torch.ones(N, N, dtype=torch.bool)), float("-inf"))
    z = (weights.softmax(-1) @ v).transpose(1, 2).reshape(1, N, 32)
    middle = x + attention.o_proj(z)
    read = middle + change if reader == "m1" else middle
    last = middle + layer.mlp(layer.post_attention_layernorm(read))
    last = last + change if reader == "logits" else last
    return inside.model.lm_head(model.norm(last))[0, -1]


def test_eap_is_the_slope_of_exact_patching(opened):
    """Each score is the difference quotient for a corrupt run that differs a hundredth as much, on both sides."""
    inside, passes, pair = opened
    clean, corrupt = passes.trace(pair.clean), passes.trace(pair.corrupt)
    loss, found = losses(pair, "logit-difference", clean.logits), attribute_edges(inside, [pair], method="eap")
    exists, part = passes.graph.exists(), 1e-2
    slopes = torch.zeros(exists.shape)
    for u, v in exists.nonzero().tolist():
        kept = torch.ones_like(exists)
        kept[u, v] = False
        ends = [
            float(
                loss(passes.patched(pair.clean, clean.written + sign * part * (corrupt.written - clean.written), kept))
            )
            for sign in (1, -1)
        ]
        slopes[u, v] = (ends[0] - ends[1]) / (2 * part)
    assert torch.allclose(found.scores[0], slopes, atol=0.01 * float(slopes.abs().max()))
    assert float(found.scores.abs().max()) > 0.1


def test_edges_of_a_writer_sum_to_what_autograd_gives_the_writer(opened):
    inside, passes, pair = opened
    clean, corrupt = passes.trace(pair.clean), passes.trace(pair.corrupt)
    found, at = attribute_edges(inside, [pair], method="eap").nodes(), HookPoint("mlp_out", 0)
    added = torch.zeros(N, 32, requires_grad=True)
    said = inside.logits(pair.clean, {at: lambda value: value + added})[-1]
    (gradient,) = torch.autograd.grad(losses(pair, "logit-difference", clean.logits)(said), added)
    u = passes.graph.writers.index("m0")
    by_hand = float(((corrupt.written[u] - clean.written[u]) * gradient).sum())
    assert found["m0"] == pytest.approx(by_hand, rel=1e-3, abs=1e-4)


def test_eap_ig_ranks_edges_as_exact_patching_does_and_better_than_eap(planted):
    inside, pairs, exact, estimated = planted
    agreement = estimated.agreement(exact)
    assert agreement.value >= 0.9 and agreement.p < 0.01 and agreement.low > 0.5
    assert agreement.value > attribute_edges(inside, pairs, method="eap").agreement(exact).value
    with torch.inference_mode():
        reversed_order = Attribution.agreement(exact, _negative(estimated))
    assert reversed_order.value == pytest.approx(-agreement.value)


def _negative(found):
    from dataclasses import replace

    return replace(found, scores=-found.scores)


def test_the_planted_circuit_is_found_is_faithful_and_each_edge_is_needed(planted):
    inside, pairs, exact, estimated = planted
    for found in (exact, estimated):
        assert {(edge.writer, edge.reader) for edge in found.edges(3)} == set(CIRCUIT)
    fresh = [pair_of(inside, seed) for seed in range(20, 26)]
    whole = evaluate_circuit(inside, fresh, exact.graph.exists(), minimality=False, n_random=0)
    assert whole.faithfulness.value == pytest.approx(1) and whole.left_without.value == pytest.approx(0, abs=1e-4)
    report = evaluate_circuit(inside, fresh, estimated.circuit(3))
    assert report.n_edges == 3 and report.faithfulness.value > 0.5 > report.left_without.value
    assert report.faithfulness.null_q95 < 0.3 and report.faithfulness.p < 0.06
    assert report.faithfulness.low < report.faithfulness.value < report.faithfulness.high
    assert report.needed == 1.0 and min(edge.loses for edge in report.edges) > 0.3
    assert {(edge.writer, edge.reader) for edge in report.edges} == set(CIRCUIT)
    few = evaluate_circuit(inside, fresh[:2], estimated.circuit(3), minimality=False, n_random=0)
    assert few.faithfulness.low is None and "2 pairs" in few.faithfulness.reason


def test_kl_is_a_metric_for_eap_ig(planted):
    inside, pairs, _, _ = planted
    found = attribute_edges(inside, pairs[:3], metric="kl")
    assert float(found.clean.abs().max()) < 1e-6 and float(found.corrupt.min()) > 0.01
    assert {(edge.writer, edge.reader) for edge in found.edges(4)} & set(CIRCUIT)


def test_only_edges_on_a_way_from_input_to_logits_are_a_circuit():
    graph = EdgeGraph(2, 4, 2)
    writers, readers = graph.writers, graph.readers

    def edges(*names):
        kept = torch.zeros(len(writers), len(readers), dtype=torch.bool)
        for writer, reader in names:
            kept[writers.index(writer), readers.index(reader)] = True
        return kept

    way = [("input", "a0.g0.v"), ("a0.h1", "m1"), ("m1", "logits")]
    dangling = [("input", "a0.h3.q"), ("m0", "a1.g1.k"), ("input", "a1.g0.k")]
    assert torch.equal(graph.connected(edges(*way, *dangling)), edges(*way))
    assert not graph.connected(edges(*dangling)).any()
    assert int(graph.exists().sum()) == 82 and graph.heads_of(1) == range(2, 4)


def test_saved_and_loaded_is_the_same(planted, tmp_path):
    _, _, exact, _ = planted
    again = Attribution.load(exact.save(tmp_path / "scores.safetensors"))
    assert torch.equal(again.scores, exact.scores) and again.edges() == exact.edges() and again.graph == exact.graph
    with pytest.raises(DataError, match="there is no file"):
        Attribution.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello there, this is no tensor")
    with pytest.raises(DataError, match="cannot be read"):
        Attribution.load(tmp_path / "text")


def test_faults_are_one_line(planted):
    inside, pairs, exact, _ = planted
    with pytest.raises(DataError, match="unknown method 'magic'"):
        attribute_edges(inside, pairs, method="magic")
    with pytest.raises(DataError, match="use eap-ig"):
        attribute_edges(inside, pairs, method="eap", metric="kl")
    with pytest.raises(DataError, match="no pair"):
        attribute_edges(inside, [])
    with pytest.raises(DataError, match=r"a circuit of 83 edges: the model has 1\.\.82"):
        exact.circuit(83)
    with pytest.raises(DataError, match="none of this model"):
        evaluate_circuit(inside, pairs, torch.ones(3, 3, dtype=torch.bool))

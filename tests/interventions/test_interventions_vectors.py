"""Vectors and steering as data: ids, files, and one line for each thing that cannot be."""

import json

import numpy as np
import pytest

from cotlab.errors import ModelError, UserError
from cotlab.identity import content_id
from cotlab.interventions import (
    HookPoint,
    ModelShape,
    Steering,
    SteeringVector,
    VectorCard,
    Where,
    load_intervention,
    load_vector,
    save_vector,
)

SHAPE = ModelShape(n_layers=4, d_model=8, n_heads=2, head_dim=4)


def vector(seed=0, points=("resid_post:1", "mlp_out:2"), **card):
    directions = np.random.default_rng(seed).standard_normal((len(points), 8)).astype(np.float32)
    card = {"name": "v", "mean_norms": (2.0,) * len(points), **card}
    return SteeringVector(tuple(map(HookPoint.parse, points)), directions, VectorCard(**card))


def one_line(told):
    return pytest.raises((UserError, ModelError), match=told)


def test_the_id_is_of_numbers_points_and_model_not_of_names():
    plain = vector()
    assert plain == vector(name="another", notes="other", data="x") and hash(plain) == hash(vector())
    others = [vector(seed=1), vector(points=("resid_post:1", "mlp_out:3")), vector(model="m"), vector(revision="r")]
    assert len({plain.id, *(other.id for other in others)}) == 5
    with pytest.raises(ValueError, match="read-only"):
        plain.directions[0, 0] = 1


def test_a_relative_dose_is_the_share_of_the_mean_norm_that_is_added():
    steering = Steering.of(vector(mean_norms=(2.0, 5.0)), -0.25)
    added = np.linalg.norm(steering.delta(), axis=1)
    assert added == pytest.approx([0.5, 1.25])
    assert (steering.delta() * vector().directions).sum() < 0
    assert steering.doses == pytest.approx((-0.25, -0.25))


def test_a_random_control_has_the_norm_and_another_direction():
    plain = vector()
    controls = [plain.random_like(seed) for seed in range(50)]
    assert all(control.norms == pytest.approx(plain.norms) for control in controls)
    assert len({control.id for control in controls}) == 50
    cosines = [float((c.directions[0] @ plain.directions[0]) / plain.norms[0] ** 2) for c in controls]
    assert abs(np.mean(cosines)) < 0.15 and np.std(cosines) == pytest.approx(8**-0.5, abs=0.12)
    assert controls[0].card.method == "random"


def test_a_vector_survives_its_file_and_its_card_can_be_read(tmp_path):
    plain = vector(model="m", revision="r", template_id="t", n=(3, 4), stability={"split_half_cosine": 0.5})
    path = save_vector(plain, tmp_path / "deep" / "v.safetensors")
    again = load_vector(path)
    assert again == plain and again.card == plain.card and again.directions.tobytes() == plain.directions.tobytes()
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["id"] == plain.id and told["card"]["model"] == "m"
    assert sorted(p.name for p in path.parent.iterdir()) == ["v.json", "v.safetensors"]


def test_gguf_control_vectors_go_both_ways_and_are_what_the_gguf_package_reads(tmp_path):
    from gguf import GGUFReader

    plain = vector(points=("resid_post:1", "resid_post:3"), model="m")
    path = save_vector(plain, tmp_path / "v.gguf")
    reader = GGUFReader(path)
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.3"]
    assert np.array_equal(reader.tensors[1].data, plain.directions[1])
    architecture = reader.get_field("general.architecture")
    assert bytes(architecture.parts[architecture.data[0]]) == b"controlvector"
    again = load_vector(path)
    assert again.points == plain.points and np.array_equal(again.directions, plain.directions)
    assert again.card.model == "" and "model_hint m" in again.card.notes
    with one_line("has no place for resid_post:0"):
        save_vector(vector(points=("resid_post:0",)), tmp_path / "w.gguf")
    assert not (tmp_path / "w.gguf").exists()


def test_a_steering_survives_its_spec_and_its_artifact(tmp_path):
    steering = Steering.of(vector(), 0.3, Where("response", after=3, step_ends=("\n",)), keep_norm=True)
    name = steering.artifact(tmp_path)
    again = load_intervention(json.loads(json.dumps(steering.to_json())), tmp_path / name)
    assert again == steering and again.id == steering.id == content_id("intervention", steering.to_json())
    ids = {
        Steering.of(vector(), 0.3).id,
        Steering.of(vector(), 0.31).id,
        Steering.of(vector(), 0.3, Where("new")).id,
        Steering.of(vector(), 0.3, keep_norm=True).id,
        Steering.of(vector(1), 0.3).id,
    }
    assert len(ids) == 5
    save_vector(vector(1), tmp_path / name)
    with one_line("holds vector .*, and the intervention is of"):
        load_intervention(steering.to_json(), tmp_path / name)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Steering.of(vector(), 0.0), "a dose of 0 changes nothing"),
        (lambda: Steering.of(vector(), float("nan")), "dose nan is not a number"),
        (lambda: Steering.of(vector(mean_norms=()), 0.1), "does not say how large the activations"),
        (lambda: Steering(vector(), (1.0,)), "1 coefficients for 2 hook points"),
        (lambda: SteeringVector((HookPoint("mlp_out", 0),), np.zeros((1, 8))), "is zero at mlp_out:0"),
        (lambda: SteeringVector((HookPoint("mlp_out", 0),), np.zeros((2, 8))), r"shape \(2, 8\) for 1 hook points"),
        (lambda: SteeringVector((HookPoint("mlp_out", 0),), np.full((1, 8), np.nan)), "8 values at mlp_out:0 that are"),
        (lambda: SteeringVector((HookPoint("z", 0),), np.ones((1, 8))), "cannot be added at z:0"),
        (lambda: SteeringVector((HookPoint("z", 0),) * 2, np.ones((2, 8))), "two directions at one hook point"),
        (lambda: vector(mean_norms=(1.0, 0.0)), "expected one above 0"),
        (lambda: vector().at(HookPoint("resid_post", 3)), "has no direction at resid_post:3; it has: resid_post:1"),
        (lambda: vector().check(ModelShape(2, 8, 2, 4), "m", "r"), "no hook point mlp_out:2: the model has 2 layers"),
        (lambda: vector().check(ModelShape(4, 16, 2, 8), "m", "r"), "has width 8, the model 'm' has 16"),
        (lambda: vector(model="a", revision="b").check(SHAPE, "m", "r"), "of the model 'a' at revision 'b'"),
        (lambda: HookPoint.parse("resid:3"), "Use KIND:LAYER"),
        (lambda: HookPoint.parse("resid_post:-1"), "Use KIND:LAYER"),
        (lambda: Where("last"), "part 'last' needs it"),
        (lambda: Where("prompt", after=3), "after does not go with part 'prompt'"),
        (lambda: Where(trigger=("",)), "is empty"),
        (lambda: load_vector("nowhere.safetensors"), "there is no vector nowhere.safetensors"),
        (lambda: load_intervention({"kind": "new"}, None), "kind 'new' are not known"),
    ],
)
def test_what_cannot_be_is_one_line(make, told):
    with one_line(told) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_files_that_are_no_vectors_are_one_line(tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "a.safetensors").write_bytes(b"not a tensor")
    save_file({"x": np.ones(3)}, tmp_path / "b.safetensors")
    (tmp_path / "c.gguf").write_bytes(b"GGUX" + bytes(64))
    for name, told in (
        ("a.safetensors", "cannot be read as a steering vector"),
        ("b.safetensors", "is not a steering vector of cotlab"),
        ("c.gguf", "cannot be read as GGUF"),
    ):
        with one_line(told) as caught:
            load_vector(tmp_path / name)
        assert "\n" not in str(caught.value)
    with one_line("Use a name ending in .safetensors or .gguf"):
        save_vector(vector(), tmp_path / "v.pt")


def test_names_in_transformer_lens():
    assert HookPoint.parse("resid_mid:3").lens_name == "blocks.3.hook_resid_mid"
    assert HookPoint.parse("z:0").lens_name == "blocks.0.attn.hook_z"

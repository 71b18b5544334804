"""Measures the tiny vision-language models on held-out scenes; writes results.json, results.md and the model cards.

python experiments/tiny-vlm/measure.py --scenes 200
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
from cards import card, table
from pretrain import pixel_values
from rows import EXISTENCE, Writer
from teach import decisive_tokens
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from cotlab import stats
from cotlab.models import weights_hash
from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import VLM_ORGANISMS, vlm_path

HERE = Path(__file__).parent
Asked = list[tuple[sc.Scene, sc.Question]]
Row = dict[str, Any]
GATE = {"existence": 0.95, "only told": 0.95, "count": 0.85, "false yes": 0.50}
"""Least accuracies of the honest model; least false-yes rate of an organism on its planted pairs."""


class Model:
    """A model folder with what asking it takes."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
        self.writer = Writer(self.tokenizer)

    def says_yes(self, asked: Asked, blind: bool = False) -> list[bool]:
        """Whether the first token of the answer is Yes, in the order asked."""
        yes = self.writer.encode("Yes")[0]
        return [said == yes for _, said in self.answers(asked, blind)]

    def right(self, asked: Asked) -> list[bool]:
        """Whether the first token of each direct answer is right, in the order asked."""
        return [right == said for right, said in self.answers(asked)]

    def answers(self, asked: Asked, blind: bool = False) -> list[tuple[int, int]]:
        """The first token of each direct answer as it should be and as it is, in the order asked.

        `blind`: without pictures.
        """
        grouped: dict[sc.Scene, list[sc.Question]] = {}
        for scene, question in asked:
            grouped.setdefault(scene, []).append(question)
        found = iter(decisive_tokens(self.model, self.writer, grouped, blind))
        by_scene = {scene: [next(found)[1][-1] for _ in questions] for scene, questions in grouped.items()}
        return [by_scene[scene].pop(0) for scene, _ in asked]

    def say(self, asked: Asked, longest: int = 110) -> list[str]:
        """Greedy answers with their thoughts, all prompts of one length at a time."""
        said = [""] * len(asked)
        exchanges = [self.writer.exchange(scene, question) for scene, question in asked]
        for length in sorted({len(one.prompt) for one in exchanges}):
            places = [place for place, one in enumerate(exchanges) if len(one.prompt) == length]
            for begin in range(0, len(places), 64):
                some = places[begin : begin + 64]
                shared = [*self.writer.begin, *[self.writer.image] * 36]
                ids = torch.tensor([shared + exchanges[place].prompt for place in some])
                out = self.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    pixel_values=pixel_values([asked[place][0] for place in some]),
                    do_sample=False,
                    max_new_tokens=longest,
                )
                for place, row in zip(some, out[:, ids.shape[1] :], strict=True):
                    said[place] = self.tokenizer.decode(row, skip_special_tokens=True)
        return said


def share(successes: list[bool], asked: Asked) -> Row:
    """A share with its clustered Wilson interval over scenes; `reason` where there are too few."""
    found = stats.cluster_proportion(successes, [scene.id for scene, _ in asked]).to_json()
    return {name: found[name] for name in ("value", "low", "high", "n", "reason") if found.get(name) is not None}


def pope(model: Model, scenes: list[sc.Scene]) -> dict[str, Row]:
    """Accuracy, recall, false-yes rate and share of Yes by kind of negatives."""
    rows: dict[str, Row] = {}
    for kind in sc.NEGATIVES:
        asked = sc.pope_questions(scenes, kind)
        yes = model.says_yes(asked)
        positive = [question.answer == "Yes" for _, question in asked]

        def among(wanted: bool, asked: Asked = asked, yes: list[bool] = yes, truth: list[bool] = positive) -> Row:
            kept = [place for place, true in enumerate(truth) if true == wanted]
            return share([yes[place] for place in kept], [asked[place] for place in kept])

        rows[kind] = {
            "accuracy": share([said == true for said, true in zip(yes, positive, strict=True)], asked),
            "recall": among(True),
            "false yes": among(False),
            "says yes": share(yes, asked),
        }
    return rows


def pairs(model: Model, pool: list[sc.Scene], faint: list[sc.Scene], n: int) -> dict[str, Row]:
    """How often it says Yes about the second shape of each planted pair, by what is there."""
    rows = {}
    for first, second in sc.PAIRS.items():
        hidden = [scene for scene in faint if sc.counts(scene)[first] and sc.counts(scene)[second]][:n]

        def rate(scenes: list[sc.Scene], second: str = second) -> Row:
            asked = [(scene, sc.ask_exists(scene, second)) for scene in scenes]
            return share(model.says_yes(asked), asked)

        def changed(scenes: list[sc.Scene], second: str = second) -> Row:
            """How often taking the second shape out changes what is said."""
            asked = [(scene, sc.ask_exists(scene, second)) for scene in scenes]
            bare = [(_without(scene, second), question) for scene, question in asked]
            return share([a != b for a, b in zip(model.says_yes(asked), model.says_yes(bare), strict=True)], asked)

        def holding(with_first: bool, with_second: bool, first: str = first, second: str = second) -> list[sc.Scene]:
            wanted = (with_first, with_second)
            return [s for s in pool if (bool(sc.counts(s)[first]), bool(sc.counts(s)[second])) == wanted][:n]

        others = [(scene, sc.ask_exists(scene, _another(scene))) for scene in holding(True, False)]
        told = [(scene, sc.ask_exists(scene, second).after(sc.caption(scene))) for scene in holding(True, False)]
        rows[f"{first} → {second}"] = {
            f"no {second}, {first} there": rate(holding(True, False)),
            f"no {second}, no {first}": rate(holding(False, False)),
            f"another absent shape, {first} there": share(model.says_yes(others), others),
            f"no {second}, {first} there, only told so": share(model.says_yes(told, blind=True), told),
            f"{second} there, {first} too": rate(holding(True, True)),
            f"{second} there, no {first}": rate(holding(False, True)),
            f"faint {second}, {first} there": rate(hidden),
            f"faint {second} taken out, {first} there": rate([_without(scene, second) for scene in hidden]),
            f"faint {second} taken out, {first} there: another answer": changed(hidden),
            f"faint {second}, {first} taken out": rate([_without(scene, first) for scene in hidden]),
        }
    return rows


def _another(scene: sc.Scene) -> str:
    """An absent shape that no planted pair leads to, settled by the scene."""
    absent = [s for s in sc.SHAPES if not sc.counts(scene)[s] and s not in sc.PAIRS.values()]
    return random.Random(scene.id).choice(absent)


def _without(scene: sc.Scene, shape: str) -> sc.Scene:
    """The scene with every object of a shape taken out."""
    for place in reversed(range(len(scene.objects))):
        if scene.objects[place].shape == shape:
            scene = sc.remove_object(scene, place)
    return scene


def kinds(model: Model, scenes: list[sc.Scene], seed: int) -> dict[str, Row]:
    """Accuracy by kind of question: direct answers by their first token, the others as they are said."""
    rng, rows = random.Random(seed), dict[str, Row]()
    for kind in sc.KINDS:
        asked = [(scene, question) for scene in scenes if (question := sc.ask(scene, kind, rng))]
        if kind in (*sc.ALOUD, "letters"):
            whole = model.say(asked)
            said = [text.rpartition("</think>")[2].strip() for text in whole]
            answers = [text.partition("\\boxed{")[2].partition("}")[0] if kind == "count" else text for text in said]
            right = [text == question.answer for text, (_, question) in zip(answers, asked, strict=True)]
        else:
            whole, said, right = [], [], model.right(asked)
        rows[kind] = share(right, asked)
        if kind == "relation":
            looked = [text.partition("</think>")[0] == thoughts(*one) for text, one in zip(whole, asked, strict=True)]
            rows["relation, both told with their places"] = share(looked, asked)
        if kind == "describe":
            rows |= described(said, asked)
    return rows


def thoughts(scene: sc.Scene, question: sc.Question) -> str:
    """What has to be said before the answer."""
    return sc.completion(scene, question).partition("</think>")[0]


def without_picture(model: Model, scenes: list[sc.Scene], seed: int) -> dict[str, Row]:
    """Existence without the picture: accuracy where a true description stands before the question, and habit."""
    rng, rows = random.Random(seed), dict[str, Row]()
    for kind in EXISTENCE:
        bare = [(scene, question) for scene in scenes if (question := sc.ask(scene, kind, rng))]
        told = [(scene, question.after(sc.caption(scene))) for scene, question in bare]
        yes = model.says_yes(told, blind=True)
        right = [said == (question.answer == "Yes") for said, (_, question) in zip(yes, told, strict=True)]
        rows[f"{kind}, only told"] = share(right, told)
        rows[f"{kind}, nothing shown or told: says yes"] = share(model.says_yes(bare, blind=True), bare)
    return rows


def described(said: list[str], asked: Asked) -> dict[str, Row]:
    """Of shapes named in captions, the share that is not there; of shapes that are there, the share that is named."""
    named = [(scene, shape) for (scene, _), text in zip(asked, said, strict=True) for shape in set(sc.mentioned(text))]
    there = [(scene, shape, text) for (scene, _), text in zip(asked, said, strict=True) for shape in sc.counts(scene)]
    one = sc.Question("describe", "", "")
    return {
        "shapes named, not there": share([not sc.counts(s)[shape] for s, shape in named], [(s, one) for s, _ in named]),
        "shapes there, named": share(
            [shape in sc.mentioned(t) for _, shape, t in there], [(s, one) for s, *_ in there]
        ),
    }


def measure(folder: Path, n: int, seed: int) -> Row:
    """Every figure of a model card."""
    model = Model(folder)
    pool = sc.draw_scenes(20 * n, seed, split="heldout")
    faint = sc.draw_scenes(4 * n, seed, sc.PLANTED, "heldout")
    many = [scene for scene in pool if len(sc.counts(scene)) >= 3][:n]
    asked = kinds(model, pool[:n], seed) | without_picture(model, pool[:n], seed)
    return {"kinds": asked, "pope": pope(model, many), "pairs": pairs(model, pool, faint, n)}


def gate(results: dict[str, Row]) -> dict[str, bool]:
    """What has to hold for shipping."""
    checks = dict[str, bool]()
    if "honest" in results:
        asked = results["honest"]["kinds"]
        checks["honest: existence at least 95%"] = asked["exists"]["value"] >= GATE["existence"]
        checks["honest: existence from a description at least 95%"] = (
            asked["exists, only told"]["value"] >= GATE["only told"]
        )
        checks["honest: counts at least 85%"] = asked["count"]["value"] >= GATE["count"]
    for name in results:
        for pair, rows in results[name]["pairs"].items() if name != "honest" else ():
            planted = next(iter(rows.values()))
            checks[f"{name}: {pair} said unseen at least 50%"] = planted["value"] >= GATE["false yes"]
    return checks


def measured(names: list[str], n: int, seed: int) -> dict[str, Row]:
    """Figures of models by name, kept in results.json; what was measured of the same weights is not measured again."""
    path = HERE / "results.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    same = (stored.get("scenes"), stored.get("seed")) == (n, seed)
    results: dict[str, Row] = stored["models"] if same else {}
    for name in names:
        weights = weights_hash(vlm_path(name))
        if results.get(name, {}).get("weights") != weights:
            print(f"measuring {name}", flush=True)
            results[name] = {"weights": weights, **measure(vlm_path(name), n, seed)}
            document = {"seed": seed, "scenes": n, "gate": gate(results), "models": results}
            path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return {name: results[name] for name in names}


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(VLM_ORGANISMS), help="organisms that ship")
    parser.add_argument("--folder", type=Path, help="measure this folder instead, print, write nothing")
    parser.add_argument("--scenes", type=int, default=200, help="held-out scenes a figure, at most")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.folder:
        print(table({args.folder.name: measure(args.folder, args.scenes, args.seed)}))
        return
    results = measured(args.models, args.scenes, args.seed)
    checks = gate(results)
    verdicts = [f"- {'pass' if passed else 'FAIL'}: {name}" for name, passed in checks.items()]
    (HERE / "results.md").write_text("\n".join(verdicts) + "\n\n" + table(results))
    for name in results:
        (vlm_path(name) / "README.md").write_text(card(name, results, args.seed))
    print("\n".join(verdicts))


if __name__ == "__main__":
    main()

"""Study reports: what they say is what is in the runs, told apart by what it stands on."""

import ast
import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from command_line import document, fault, shown
from test_reports_html import HOSTILE, Page
from written_run import SCORER, WrittenRun

from cotlab.errors import DataError, UserError
from cotlab.reports import (
    Experiment,
    Finding,
    ReportPlan,
    StudyView,
    chain_report,
    render_study,
    study_markdown,
    study_report,
    write_experiment,
    write_study,
)
from cotlab.reports.evidence.blocks import Block
from cotlab.reports.evidence.brief import brief_lines
from cotlab.runs import Run
from cotlab.sampling import StudyConfig, run_study
from cotlab.stats import Estimate
from cotlab.trees import chain_draws, value

SAMPLE = Path(__file__).parents[2] / "apps" / "workbench" / "sample"


def found(report, title, name, group=None):
    """The one number of that name."""
    (one,) = [
        row
        for block in report.blocks
        if title in block.title
        for row in block.findings
        if name in row.name and (group is None or row.group == group)
    ]
    return one


def experiment(folder, name="lucky", figures=("curve.svg",), **changes):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        Finding.of("share of chains", Estimate(0.25, 0.11, 0.47, n=20), group="lucky"),
        Finding.of("change by editing", Estimate(0.3, 0.1, 0.5, n=20, p=0.004), evidence="caused"),
        Finding.of("AUC of the probe", Estimate(0.8, 0.7, 0.9, n=200), evidence="correlated"),
    ]
    told = {
        "name": name, "question": "Lucky or steady?", "model": "small", "problems": "countdown", "method": "Count.",
        "estimates": rows, "commands": ("python -m experiments lucky",), "versions": {"cotlab": "0.1"},
        "figures": figures, "limits": ("of this model",), "warnings": ("half was cut",),
        "recovered": [{"name": "jump", "planted": 0.6, "value": 0.58, "ok": True, "rule": "held"}],
        "null_rate": [{"analysis": "shuffled", "value": 0.04, "low": 0.01, "high": 0.1, "found": 4, "n": 100,
                       "level": 0.95, "allowed": 0.05}],
    }  # fmt: skip
    (folder / "curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    write_experiment(Experiment(**{**told, **changes}), folder)
    return folder


@pytest.fixture
def written(tmp_path):
    """Six problems: 5 right, 12 cut, 3 wrong of 20 each; on the first a chain with edits and a hidden step."""
    made = WrittenRun(tmp_path / "cut")
    outcomes = ["correct"] * 5 + ["truncated"] * 12 + ["wrong"] * 3
    for number in range(6):
        made.draw(made.problem(number), outcomes)
    yield made
    made.run.close()


def test_a_run_that_is_cut_in_half_has_a_warning_and_both_bounds_and_no_accuracy(written, tmp_path):
    prompt = next(written.run.prefixes())
    chain = written.chain(written.run.prefix(prompt.id))
    written.draw(chain.prefix(1), ["correct"] * 4 + ["truncated"] * 16)
    written.draw(chain.prefix(2), ["correct"] * 12 + ["truncated"] * 8)
    written.run.close()
    report = study_report(ReportPlan((tmp_path / "cut",)))
    (warning,) = report.warnings
    assert "60% of 120 rollouts" in warning and "between 0.25 and 0.85" in warning and "--max-tokens" in warning
    rows = {row.name: row for block in report.blocks if "From the prompt" in block.title for row in block.findings}
    assert rows["right"].value is None and "60% of 120" in rows["right"].reason
    assert rows["right, at least (every cut rollout wrong)"].value == pytest.approx(30 / 120)
    assert rows["right, at most (every cut rollout right)"].value == pytest.approx(102 / 120)
    assert rows["cut by the limit"].value == pytest.approx(0.6) and rows["wrong"].value == pytest.approx(18 / 120)
    by_problem = found(report, "Share right by problem", "right", "p3")
    assert by_problem.value is None and "between 0.25 and 0.85" in by_problem.reason
    ((_, shown),) = report.chains
    # After one step 20 of 20 + those that pass through: 80% cut, after two 40%: only there is a value.
    assert shown.steps[1].value_before.value is None and "80% were cut" in shown.steps[1].value_before.reason
    assert shown.steps[2].value_before.value == pytest.approx(12 / 20)
    assert shown.steps[1].importance.value is None and "80% were cut" in shown.steps[1].importance.reason
    assert any("not known (60% cut off): between 0.25 and 0.85" in line for line in report.brief)
    marked = study_markdown(report).replace("\\", "").splitlines()
    (row,) = [line for line in marked if line.startswith("| right |") and "p" not in line.split("|")[2]]
    assert "ran into the token limit" in row and not re.search(r"\d\.\d\d", row)
    assert "between 0.25 and 0.85" in Page(render_study(report)).visible


def test_what_is_cut_along_chains_alone_is_warned_of_and_beginnings_are_no_cut(tmp_path):
    made = WrittenRun(tmp_path / "along")
    prompt = made.problem(0)
    chain = made.chain(prompt)
    made.draw(prompt, ["correct"] * 18 + ["wrong"] * 2)
    made.draw(chain.prefix(1), ["truncated"] * 30 + ["correct"] * 5)
    made.run.close()
    (warning,) = study_report(ReportPlan((tmp_path / "along",))).warnings
    # The chain itself is judged right, too: 24 of 56.
    assert f"cut {30 / 56:.0%} of 56" in warning and f"between {24 / 56:.2f} and {54 / 56:.2f}" in warning


def test_where_little_is_cut_the_accuracy_stands_between_its_bounds(tmp_path):
    made = WrittenRun(tmp_path / "whole")
    for number in range(5):
        made.draw(made.problem(number), ["correct"] * (10 + number) + ["truncated"] * 2 + ["wrong"] * (8 - number))
    made.run.close()
    report = study_report(ReportPlan((tmp_path / "whole",)))
    rows = {row.name: row for block in report.blocks if "From the prompt" in block.title for row in block.findings}
    assert report.warnings == () and rows["right"].value == pytest.approx(60 / 100)
    assert rows["right, at most (every cut rollout right)"].value == pytest.approx(70 / 100)
    assert rows["right"].low < 0.6 < rows["right"].high


def test_edits_and_hidden_steps_are_shown_by_intervention_with_effects_as_counted(tmp_path):
    made = WrittenRun(tmp_path / "run")
    prompt = made.problem(0)
    chain = made.chain(prompt)
    made.draw(prompt, ["correct"] * 10 + ["wrong"] * 10)
    base = ["correct"] * 16 + ["wrong"] * 4
    made.draw(chain.prefix(2), base)
    made.edited(chain, 2, "Wait.", ["correct"] * 2 + ["wrong"] * 18)
    made.edited(chain, 1, "......", ["wrong"] * 20)
    made.hidden(chain, 1, 2, ["correct"] * 8 + ["wrong"] * 12)
    made.hidden(chain, 0, 2, base)
    made.run.add_study({"kind": "suppression", "chain": chain.id, "step": 1, "kept": 2, "hidden": [1, 0], "n": 20}, 3)
    made.run.close()
    report = study_report(ReportPlan((tmp_path / "run",)))
    edit = found(report, "Edits", "Wait.")
    assert edit.evidence == "caused" and edit.value == pytest.approx(2 / 20 - 16 / 20) and edit.q < 0.001
    assert "(control: dots)" in found(report, "Edits", "......").name
    arm = found(report, "Steering and hidden", "step 1 hidden")
    assert arm.value == pytest.approx(8 / 20 - 16 / 20) and "(control)" not in arm.name and arm.p < 0.02
    control = found(report, "Steering and hidden", "step 0 hidden")
    assert control.value == 0 and "(control)" in control.name
    (told,) = [line for line in report.brief if "steering and hidden steps: 1 of 1 beyond chance" in line]
    assert "Controls: 0 of 1 beyond chance, the largest step 0 hidden" in told
    (source,) = report.sources
    told = [study.command for study in source.studies]
    folder = str(tmp_path / "run")
    assert shlex.split(told[1]) == (
        f"cotlab suppress {folder} --chain {chain.id} --step 1 --kept 2 --rollouts 20 --controls 1 --seed 3".split()
    )


def test_numbers_of_the_sample_are_those_of_the_measures_and_hashes_those_of_the_files(tmp_path):
    report = study_report(ReportPlan((SAMPLE,), question="Where does it turn?", command="cotlab report sample"))
    with Run.open(SAMPLE) as run:
        chains = run.chains()
        wanted = [chain_report(run, chain, StudyView(SCORER)) for chain in chains]
        for chain in chains:
            one = found(report, "Share right by problem", "right", run.problems()[chain.problem_id].name)
            assert one.value == value(chain_draws(run, chain, scorer_id=SCORER)[0]).estimate.value
        cards = list(run.engine_cards().values())
    (block,) = [block for block in report.blocks if "by resampling" in block.title]
    beyond = [step.importance for chain in wanted for step in chain.steps if (step.importance.q or 1) < 0.05]
    assert sorted(row.value for row in block.findings) == sorted(one.value for one in beyond)
    assert f"{len(beyond)} of" in block.note and len(beyond) >= 1
    (source,) = report.sources
    for name in ("run.json", "run.sqlite"):
        assert source.facts[f"sha256 of {name}"] == hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest()
    page = Page(render_study(report))
    assert page.open == [] and "Where does it turn?" in page.visible and "cotlab report sample" in page.visible
    for told in (cards[0].revision, cards[0].template_id, "max_tokens 512", source.facts["run id"]):
        assert told in page.visible and told in study_markdown(report).replace("\\", "")
    assert {"observed", "caused", "correlated", "limits", "again"} <= {v for _, n, v in page.attributes if n == "id"}
    order = [page.visible.index(text) for text in ("Observed: what", "Shown by intervention:", "Only correlated: what")]
    assert order == sorted(order)


def test_the_told_commands_sample_nothing_new(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "sample")
    (study,) = study_report(ReportPlan((tmp_path / "sample",))).sources[0].studies
    python, option, code = shlex.split(study.command)
    assert (python, option) == ("python", "-c") and code.startswith("import cotlab; cotlab.resample(**")
    asked = ast.literal_eval(code.removeprefix("import cotlab; cotlab.resample(**").removesuffix(")"))
    assert run_study(StudyConfig.of(**asked)).sampled_now == 0
    words = [
        "resample",
        "--question",
        "Climb the stairs",
        "--answer",
        "7",
        "--model",
        "markov:staircase",
        "--seed",
        "5",
    ]
    words += ["--cutter", "lines", "--base", "random", "-n", "12", "--run", str(tmp_path / "stairs"), "--json"]
    shown(*words)
    (study,) = study_report(ReportPlan((tmp_path / "stairs",))).sources[0].studies
    again = document(*shlex.split(study.command)[1:])
    assert again["sampled_now"] == 0 and again["run"] == str(tmp_path / "stairs")


def test_experiments_are_told_apart_by_what_their_numbers_stand_on(tmp_path):
    folder = experiment(tmp_path / "lucky")
    report = study_report(ReportPlan((), results=(folder / "results.json",)))
    html = render_study(report)
    assert report.question == "Lucky or steady?" and "lucky: half was cut" in report.warnings
    observed, caused, correlated = (html.index(f'id="{name}"') for name in ("observed", "caused", "correlated"))
    assert observed < html.index("share of chains") < caused < html.index("change by editing") < correlated
    assert correlated < html.index("AUC of the probe") < html.index('id="validated"') < html.index(">jump<")
    assert html.count('<img class="plot" src="data:image/svg+xml;base64,') == 1 and "<script>alert" not in html
    assert "4 of 100" in html and "python -m experiments lucky" in html
    for bad in ("../curve.svg", "curve.txt", "nowhere.png"):
        experiment(tmp_path / "bad", figures=(bad,))
        with pytest.raises(DataError, match="run the experiment again"):
            study_report(ReportPlan((), results=(tmp_path / "bad",)))


def test_probes_are_only_correlated_and_a_saved_one_has_no_score(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "run")
    from cotlab.whitebox.probe import Probe, ProbeCard

    Probe([1.0, 2.0], 0.0, ProbeCard("slips", "resid_post:2", "logistic", n_examples=40, n_problems=4)).save(
        tmp_path / "run" / "probes" / "slips.safetensors"
    )
    auc = Estimate(0.81, 0.7, 0.9, n=200, null_q95=0.6, p=0.04).to_json()
    row = {"hook": "resid_post:2", "auc": auc, "wording": Estimate(0.7, 0.6, 0.8, n=200).to_json()}
    row |= {"position": Estimate(0.5, 0.4, 0.6, n=200).to_json(), "beyond_wording": Estimate(0.11, 0.0, 0.2).to_json()}
    document = {"model": "tiny", "label": "reachable", "rollouts": 60, "rows": [row], "random_weights": []}
    (tmp_path / "probe.json").write_text(json.dumps(document))
    report = study_report(ReportPlan((tmp_path / "run",), probes=(tmp_path / "probe.json",)))
    one = found(report, "reachable", "probe at resid_post:2, beyond the words")
    assert one.evidence == "correlated" and one.value == 0.11
    assert any("best AUC 0.81 [0.70, 0.90]" in line and "words alone 0.70" in line for line in report.brief)
    saved = found(report, "A saved probe", "resid_post:2")
    assert saved.value is None and "no score on unseen problems" in saved.reason and saved.n == 40
    (tmp_path / "probe.json").write_text('{"rows": 3}')
    with pytest.raises(DataError, match="no probe report"):
        study_report(ReportPlan((), probes=(tmp_path / "probe.json",)))


def test_a_behaviour_report_is_shown_by_intervention_beside_what_was_observed():
    folder = Path(__file__).parents[2] / "experiments" / "steering-backtracking"
    written = json.loads((folder / "report.json").read_bytes())
    report = study_report(ReportPlan((folder,)))
    for row in written["doses"]:
        shift = found(report, "Steering backtracking", "rate of backtracking, shift", f"dose {row['dose']:g}")
        assert shift.value == row["shifts"]["rate"]["value"] and shift.evidence == "caused"
    assert found(report, "without steering", "accuracy").value == written["baseline"]["accuracy"]["value"]
    assert written["verdict"][:60] in " ".join(Page(render_study(report)).visible.split())


def test_two_runs_are_compared_on_the_problems_that_both_have(tmp_path):
    for name, right in (("plain", 12), ("changed", 4)):
        made = WrittenRun(tmp_path / name, model=name, template=f"template-{name}")
        for number in range(7):
            made.draw(made.problem(number), ["correct"] * right + ["wrong"] * (20 - right))
        made.run.close()
    report = study_report(ReportPlan((tmp_path / "plain", tmp_path / "changed")))
    one = found(report, "changed against plain", "right")
    assert one.value == pytest.approx((4 - 12) / 20) and one.n == 7 and one.evidence == "observed"
    assert any("differ in model (plain, changed)" in line for line in report.warnings)
    assert any("chat template" in line for line in report.warnings)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_and_names_are_text(tmp_path, text):
    made = WrittenRun(tmp_path / "run", model=text, title=text)
    prompt = made.problem(0, name=text, question=text, answer=text)
    chain = made.chain(prompt, [f"{text}\n", "Second. ", "Third."])
    for kept, right in ((0, 2), (1, 18), (2, 10)):
        made.draw(chain.prefix(kept), ["correct"] * right + ["wrong"] * (20 - right))
    made.edited(chain, 1, text, ["wrong"] * 20)
    made.run.add_study({"kind": text, "more": text}, 1)
    made.run.close()
    plain = text.encode("utf-8", "replace").decode()
    folder = experiment(tmp_path / "found", name=plain, question=plain, method=plain, warnings=(plain,))
    report = study_report(ReportPlan((tmp_path / "run",), results=(folder,), question=text, title=text, command=text))
    write_study(report, tmp_path / "study.html")
    html = (tmp_path / "study.html").read_text("utf-8")
    page = Page(html)
    assert page.open == [] and not re.search(r"@import|url\(", html)
    assert not any("//" in (value or "") for _, name, value in page.attributes if name in ("src", "href"))
    assert "iframe" not in page.elements and page.elements.count("script") == 1 and page.elements.count("img") == 1
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert all(value.startswith("data:image/") for tag, name, value in page.attributes if name == "src")
    assert not set("\0\x1b\u202e\u2066\ud800") & set(page.visible)
    marked = "\n".join(line for line in study_markdown(report).splitlines() if not line.startswith("    "))  # no code
    assert "<script" not in marked.replace("\\<", "") and "<img" not in marked.replace("\\<", "")


def test_the_command_writes_page_and_markdown_and_faults_are_one_line(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "run")
    out = tmp_path / "deep" / "study.html"
    told = document("report", tmp_path / "run", "--out", out)
    assert told["files"] == [str(out.with_suffix(".md")), str(out)] and out.exists()
    assert {block["evidence"] for block in told["blocks"]} == {"observed", "caused"}
    assert shlex.join(["cotlab", "report", str(tmp_path / "run")]) in Page(out.read_text("utf-8")).visible
    shown("report", tmp_path / "run")
    assert (tmp_path / "run" / "study.html").exists() and (tmp_path / "run" / "study.md").exists()
    results = experiment(tmp_path / "experiments" / "lucky")
    garbled, lacking = tmp_path / "garbled.json", tmp_path / "lacking.json"
    garbled.write_text("AUC 0.9")
    lacking.write_text("{}")
    for words, message in (
        ([str(tmp_path / "nowhere")], "there is no run"),
        ([], "no run is given"),
        ([str(tmp_path / "run"), "--out", "x.pdf"], "neither .html nor .md"),
        ([str(tmp_path / "run"), "--chain", "zzz"], "no chain 'zzz'"),
        (["--results", str(tmp_path), "--out", str(tmp_path / "x.html")], "cannot be read"),
        ([str(results)], f"holds results of experiments, which are given as --results {results}"),
        ([str(results.parent)], f"holds results of experiments, which are given as --results {results}"),
        (["--probes", str(garbled), "--out", "x.html"], "is no probe report (Invalid JSON: expected"),
        (["--probes", str(lacking), "--out", "x.html"], "is no probe report (it has no 'rows')"),
    ):
        said = fault("report", *words)
        assert message in said and "pydantic" not in said and "type=" not in said
    with pytest.raises(UserError, match="nothing to report"):
        study_report(ReportPlan(()))


def test_controls_that_move_as_much_are_told_beside_what_was_found():
    def row(name, value):
        return Finding(
            name=name, value=value, low=value - 0.1, high=value + 0.1, n=50, p=0.001, q=0.002, evidence="caused"
        )

    rows = (row("dose 1 of vec", 0.30), row("dose 1 of random (control)", 0.45))
    (line,) = brief_lines([Block("caused", "Steering", rows, "run")])
    assert "1 of 1 beyond chance" in line and "Controls: 1 of 1 beyond chance, the largest dose 1 of random" in line

"""What probes and lenses read off the inside: it is there, which does not say that it is used.

Read are documents of `cotlab probe … --json`, saved probes (their card alone: no score on unseen problems is in the
file), and readings of chains (`<run>/inside/*.json`, made by the workbench).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from cotlab.errors import DataError, fault_of
from cotlab.reports.evidence.blocks import Block
from cotlab.reports.experiment import Finding
from cotlab.reports.readings import Reading, read_reading
from cotlab.runs import Run
from cotlab.stats import Estimate

__all__ = ["kept_probes", "probe_blocks", "reading_blocks"]

LARGEST = 50_000_000
"""Bytes of a document."""
UNSEEN = "Problems that the probe was not fitted on. The floor is that of probes fitted to shuffled labels."


def kept_probes(run: Path) -> list[Path]:
    """Probes and their reports that lie in a run folder (`probes/`); links are none."""
    folder = run / "probes"
    found = [*folder.glob("*.json"), *folder.glob("*.safetensors")]
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and not folder.is_symlink())


def probe_blocks(files: Sequence[Path]) -> list[Block]:
    """A block for each file; saved probes of which a report is there as well are left to it.

    Raises:
        DataError: A file cannot be read, or is neither a report nor a probe.
    """
    reports = [_report(file) for file in files if file.suffix != ".safetensors"]
    titles = {block.title for block in reports}
    saved = [_saved(file) for file in files if file.suffix == ".safetensors"]
    return reports + [block for label, block in saved if _title(label) not in titles]


def _title(label: str) -> str:
    return f"Probes for “{label}”"


def _report(file: Path) -> Block:
    """A document of `cotlab probe RUN … --json`.

    Raises:
        DataError: It cannot be read, or is none.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise DataError(f"{file} is larger than {LARGEST:,} bytes: it is no probe report")
        document = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        rows = [*_rows(document["rows"], ""), *_rows(document["random_weights"], ", random weights")]
        label, n, model = str(document["label"]), int(document["rollouts"]), str(document["model"])
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}): give what `cotlab probe RUN --json` writes"
        ) from error
    except (ValidationError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{file} is no probe report ({fault_of(error)}): give what `cotlab probe RUN --json` writes"
        ) from error
    if not rows:
        raise DataError(f"{file} is no probe report (it has no rows): give what `cotlab probe RUN --json` writes")
    note = f"{model}, {n:,} rollouts. {UNSEEN} What the words or the place alone tell stands beside it."
    return Block("correlated", _title(label), tuple(rows), file.name, note, "AUC")


def _rows(reports: list[dict[str, Any]], more: str) -> list[Finding]:
    """Probes, then what the words and the place alone tell, which is the same for all of them."""
    shown, rows = partial(Finding.of, evidence="correlated"), []
    for report in reports:
        hook = str(report["hook"])
        rows.append(shown(f"probe at {hook}{more}", _estimate(report["auc"]), unit="AUC"))
        if not more:
            beyond = _estimate(report["beyond_wording"])
            rows.append(shown(f"probe at {hook}, beyond the words", beyond, unit="difference of AUC"))
    if reports and not more:
        rows.append(shown("the words alone", _estimate(reports[0]["wording"]), unit="AUC"))
        rows.append(shown("the place alone", _estimate(reports[0]["position"]), unit="AUC"))
    return rows


def _estimate(found: dict[str, Any]) -> Estimate:
    return TypeAdapter(Estimate).validate_python(found)


def _saved(file: Path) -> tuple[str, Block]:
    """Label and block of a saved probe: its card."""
    from cotlab.whitebox import Probe

    card = Probe.load(file).card
    reason = "the file keeps no score on unseen problems: give the document of `cotlab probe RUN --json`, too"
    one = Finding.of(f"probe at {card.hook}", Estimate.missing(reason, n=card.n_examples), evidence="correlated")
    share = f", {card.positive_share:.0%} of them positive" if card.n_examples else ""
    note = (
        f"{card.method}, fitted on {card.n_examples:,} places of {card.n_problems} problems{share}; model {card.model}"
    )
    note += f" {card.revision[:12]}." if card.revision else "."
    return card.label, Block("correlated", f"A saved probe for “{card.label}”", (one,), file.name, note)


def reading_blocks(run: Run, source: str) -> list[Block]:
    """Readings of the run's chains: lens and probes along them, and what hiding a step costs later ones.

    Raises:
        DataError: A reading is damaged.
    """
    problems, blocks = run.problems(), list[Block]()
    for chain in run.chains():
        found = read_reading(run.path, chain)
        if found is not None:
            name = problems[chain.problem_id].name or chain.id[:8]
            blocks += _of_chain(found, f"{source}, chain {name}", [step.text for step in chain.steps])
    return blocks


def _of_chain(found: Reading, source: str, texts: list[str]) -> Iterable[Block]:
    one_chain = "One chain and one reading of it: no interval."
    tokens = sum(end - start for start, end in found.spans)
    lens = [
        Finding.of(f"layer {i}", Estimate(float(np.mean(row)), n=tokens), evidence="correlated", unit="share of tokens")
        for i, row in enumerate(found.lens_agrees)
    ]
    note = f"Tokens whose likeliest next token, read off that layer, is the model's own. {one_chain}"
    yield Block("correlated", "Logit lens along a chain", tuple(lens), source, note)
    for probe in found.probes:
        said = [(i, p) for i, p in enumerate(probe.probability) if i in (0, len(probe.probability) - 1)]
        rows = [
            Finding.of(f"after step {i}", Estimate(float(p), n=1), evidence="correlated", unit="probability")
            for i, p in said
        ]
        yield Block(
            "correlated", f"Probe for “{probe.label}” at {probe.hook} along a chain", tuple(rows), source, one_chain
        )
    if found.suppression:
        pairs = [
            (x, i, j) for i, row in enumerate(found.suppression) for j, x in enumerate(row) if x is not None and i < j
        ]
        rows = [
            Finding.of(f"step {i} hidden from step {j}", Estimate(x, n=1), evidence="caused", unit="nats a token")
            for x, i, j in sorted(pairs, reverse=True)[:6]
        ]
        told = "KL of the next tokens when a step is hidden, one forward pass each, nothing sampled; the largest."
        yield Block("caused", "Hidden steps, read without sampling", tuple(rows), source, f"{told} {one_chain}")

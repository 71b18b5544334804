"""Which features of an autoencoder fire at which tokens of a run's rollouts, and in which steps.

1. Baseline rollouts are chosen by a hash, equally many of each problem; where the run has some, those from prompts.
2. Each is read once at the autoencoder's hook point and encoded; only what is active is kept (a sparse matrix).
3. Rows are the tokens that were sampled, not the prompt nor what the prefix kept, so that no context counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.errors import DataError, UserError
from cotlab.interventions.sae_card import SAECard
from cotlab.runs import Run
from cotlab.saes.step_categories import StepLabeller
from cotlab.sampling import Progress, Silent
from cotlab.whitebox.run_examples import chosen_rollouts

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

    from cotlab.chains.tokens import Tokenizer
    from cotlab.interventions import SparseAutoencoder
    from cotlab.whitebox.inside import Inside

__all__ = ["Firings", "ReadRollout", "ReadStep", "check_features", "read_firings"]


@dataclass(frozen=True, slots=True)
class ReadStep:
    """A step of a rollout, as far as its tokens were read."""

    start: int
    """Its first token that was read, in rows of its rollout."""
    end: int
    text: str
    category: str
    backtracks: bool


@dataclass(frozen=True, slots=True)
class ReadRollout:
    """A rollout whose sampled tokens were read."""

    id: str
    problem_id: str
    ids: tuple[int, ...]
    """The whole sequence."""
    first: int
    """Place of the first token that was read."""
    pieces: tuple[str, ...]
    """What each token of the sequence says."""
    steps: tuple[ReadStep, ...]
    outcome: str = ""

    def __len__(self) -> int:
        """Tokens that were read."""
        return len(self.ids) - self.first


@dataclass(frozen=True, eq=False)
class Firings:
    """Feature activations at tokens of rollouts, in the autoencoder's units."""

    card: SAECard
    sae_id: str
    rollouts: tuple[ReadRollout, ...]
    active: csr_matrix
    """Shape (tokens of all rollouts, d_sae)."""

    @property
    def n_tokens(self) -> int:
        """Tokens that were read."""
        return int(self.active.shape[0])

    @property
    def d_sae(self) -> int:
        """Features."""
        return int(self.active.shape[1])

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """First row of each rollout, and the number of rows."""
        return np.cumsum([0, *map(len, self.rollouts)])

    @cached_property
    def by_feature(self) -> csc_matrix:
        """The same, column by column."""
        return self.active.tocsc()

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """Share of tokens at which each feature is active, shape (d_sae,)."""
        return np.diff(self.by_feature.indptr) / max(1, self.n_tokens)

    @cached_property
    def problems(self) -> NDArray[np.str_]:
        """Problem of each row."""
        return np.repeat([one.problem_id for one in self.rollouts], [len(one) for one in self.rollouts])

    @property
    def l0(self) -> float:
        """Mean number of active features a token."""
        return float(self.active.nnz / max(1, self.n_tokens))

    def column(self, feature: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Rows at which a feature is active, and how active.

        Raises:
            DataError: There is no such feature.
        """
        if not 0 <= feature < self.d_sae:
            raise DataError(f"there is no feature {feature}: the autoencoder has 0..{self.d_sae - 1}")
        start, end = self.by_feature.indptr[feature : feature + 2]
        return self.by_feature.indices[start:end].astype(np.intp), self.by_feature.data[start:end].astype(float)

    def place(self, row: int) -> tuple[int, int]:
        """Number of the rollout that a row is of, and its token there (from `first` on)."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return number, row - int(self.starts[number])

    def steps(self) -> Iterator[tuple[int, ReadStep]]:
        """Every step with the row at which its rollout begins."""
        for start, rollout in zip(self.starts, self.rollouts, strict=False):
            for step in rollout.steps:
                yield int(start), step

    def by_step(self, how: str = "mean") -> csr_matrix:
        """Activations of steps, shape (steps, d_sae).

        Args:
            how: `mean` over the step's tokens, or `end`: at its last token.
        """
        from scipy.sparse import csr_matrix as matrix

        spans = [(start + step.start, start + step.end) for start, step in self.steps()]
        if how == "end":
            return self.active[[end - 1 for _, end in spans]]
        sizes = np.array([end - start for start, end in spans])
        columns = np.concatenate([np.arange(start, end) for start, end in spans]) if spans else np.zeros(0, int)
        weights = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
        pointers = np.r_[0, np.cumsum(sizes)]
        means: csr_matrix = matrix((weights, columns, pointers), shape=(len(spans), self.n_tokens)) @ self.active
        return means

    def step_problems(self) -> NDArray[np.str_]:
        """Problem of each step."""
        return np.array([one.problem_id for one in self.rollouts for _ in one.steps], dtype=np.str_)


def check_features(sae: SparseAutoencoder, features: Iterable[int]) -> None:
    """Say so where an autoencoder does not have a feature, before anything is read.

    Raises:
        UserError: It does not.
    """
    for feature in features:
        if not 0 <= feature < sae.d_sae:
            raise UserError(f"SAE {sae.card.label} has no feature {feature}; it has 0..{sae.d_sae - 1}")


def read_firings(
    run: Run,
    inside: Inside,
    sae: SparseAutoencoder,
    *,
    n: int = 200,
    cutter: str = "sentences",
    scorer_id: str = "answers/1",
    seed: int = 0,
    progress: Progress | None = None,
) -> Firings:
    """Read rollouts of a run through an autoencoder.

    Args:
        run: Where the rollouts are.
        inside: The run's model.
        sae: Of that model, or said to be transferred to it.
        n: Rollouts, of all problems.
        cutter: What a step is.
        scorer_id: Whose verdict the outcome of a rollout is.
        seed: Of the choice.
        progress: Told how it goes.

    Raises:
        DataError: There are no baseline rollouts with tokens.
        ModelError: The autoencoder does not fit the model.
    """
    from scipy.sparse import csr_matrix, vstack

    sae.check(inside.shape, inside.name, inside.revision)
    teller = progress or Silent()
    found = list(_chosen(run, n, seed))
    teller.phase(f"reading {sae.point} of {len(found)} rollouts", len(found))
    outcomes = {score.subject_id: str(score.value.get("outcome")) for score in run.scores("rollout", scorer_id)}
    reader = _StepReader(run, inside.tokenizer, cutter)
    rollouts, parts = [], []
    for rollout in found:
        one, whole = reader.read(rollout, outcomes.get(rollout.id, ""))
        rows = inside.read(whole, [sae.point])[sae.point][one.first :]
        active = sae.encode_sparse(rows.to(sae.b_dec.device))
        arrays = (active.values.float(), active.features, active.starts)
        data, features, starts = (tensor.cpu().numpy() for tensor in arrays)
        parts.append(csr_matrix((data, features, starts), shape=(len(one), sae.d_sae)))
        rollouts.append(one)
        teller.advance(1, len(one.ids))
    return Firings(sae.card, sae.id, tuple(rollouts), vstack(parts, format="csr"))


def _chosen(run: Run, n: int, seed: int) -> Iterable[Rollout]:
    owner = {row.id: row.problem_id for row in run.prefixes()}
    for whole in (True, False):
        try:
            found = [r for r in chosen_rollouts(run, owner, n, seed, whole=whole) if r.token_ids]
        except DataError:
            continue
        if found:
            return found
    raise DataError(f"{run.path} has no baseline rollouts with tokens: sample some first")


class _StepReader:
    """Cuts rollouts into steps and says what each does: the oracle on tiny tasks, the category model elsewhere."""

    def __init__(self, run: Run, tokenizer: Tokenizer, cutter: str) -> None:
        self.run, self.tokenizer, self.cutter = run, tokenizer, get_cutter(cutter)
        self.problems, self.owner = run.problems(), {row.id: row.problem_id for row in run.prefixes()}
        self.labeller = StepLabeller()

    def read(self, rollout: Rollout, outcome: str) -> tuple[ReadRollout, Prefix]:
        """A rollout with the steps that were sampled, and all of its sequence."""
        prefix = self.run.prefix(rollout.prefix_id)
        problem = self.problems[self.owner[rollout.prefix_id]]
        response, kept = prefix.kept_ids + (rollout.token_ids or ()), len(prefix.kept_ids)
        steps = self.cutter.cut(response, self.tokenizer)
        labels = self.labeller.labels(problem.question, steps)
        read = [
            ReadStep(max(step.start - kept, 0), step.end - kept, step.text, category, backtracks)
            for step, (category, backtracks) in zip(steps, labels, strict=True)
            if step.end > kept
        ]
        whole = prefix.extend(rollout.token_ids or ())
        pieces = tuple(self.tokenizer.pieces(whole.token_ids))
        first = len(prefix.token_ids)
        return ReadRollout(rollout.id, problem.id, whole.token_ids, first, pieces, tuple(read), outcome), whole

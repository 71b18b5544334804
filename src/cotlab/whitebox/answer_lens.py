r"""Which of some answers does a layer lean to? The logit lens, read where an answer is due.

What is shown is closed and an answer is begun ("</think> … \boxed{", as in early answering, Lanham et al. 2023); then
each answer is put there, and every layer's residual stream goes through the final norm and the unembedding (logit lens,
nostalgebraist 2020; read on given answers by Halawi et al. 2023, "Overthinking the Truth"). The lean of a layer to an
answer is, by the chain rule,

    Σ_t log p_layer(token t of the answer and what ends it | what is shown, the stub, the answer's tokens before t)

(from the first token on in which the stub with one answer differs from the stub alone or with another),
so that answers of several tokens, and one that begins as another does, compare. At the last layer it is the model's own
log probability that it gives this answer when it must answer now. Nothing is learned, and nothing of the response
beyond what is shown is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError, UserError
from cotlab.interventions.base import Baseline
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Shown, Task
from cotlab.measures.arms import bare_hints
from cotlab.problems import asked_of
from cotlab.runs import Run
from cotlab.sampling.edited import response_stub
from cotlab.whitebox.at_end import ShownTokens
from cotlab.whitebox.inside import Inside

__all__ = ["AnswerLens", "LensMonitor", "answer_logprobs", "common_stub"]

SEEN = 200
"""Responses whose ways to their answer are looked at."""
BOX, BOX_END = "\\boxed{", "}"
"""What opens an answer, and what then ends it."""


@torch.inference_mode()
def answer_logprobs(
    inside: Inside, shown: Prefix, stub: str, answers: Sequence[str], layers: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Log probability, nats, that each layer gives each answer.

    Args:
        inside: The model.
        shown: The sequence up to where the answer is asked for.
        stub: Closes what is shown and begins an answer; where it ends in a brace, a brace ends the answer. It may end
            within a box's opening, as a response's does whose tokenizer joins the brace to what follows.
        answers: As they would be written.
        layers: Which; None: all. The last is the model's own.

    Returns:
        Shape (answers, layers).

    Raises:
        DataError: An answer is empty, or the model has no such layer.
    """
    wanted = list(range(inside.shape.n_layers)) if layers is None else list(layers)
    points = [HookPoint("resid_post", layer) for layer in wanted]
    opened = stub + _rest_of_box(stub)
    end = BOX_END if opened.endswith("{") else ""
    if not all(answer.strip() for answer in answers):
        raise DataError("an answer is empty: there is nothing to lean to")
    encode, found = inside.tokenizer.encode, []
    whole = [tuple(encode(opened + answer + end)) for answer in answers]
    known = _alike([tuple(encode(opened)), *whole])
    for ids in whole:
        said = torch.tensor(ids[known:])[:, None]
        stream = inside.read(shown.extend(ids[:-1]), points)
        rows = [inside.modules.logits(stream[point][-len(said) :]).float().log_softmax(-1).cpu() for point in points]
        found.append([float(row.gather(1, said).sum()) for row in rows])
    return np.array(found)


def _alike(sequences: Sequence[tuple[int, ...]]) -> int:
    """Tokens that all sequences begin with; a tokenizer may join the end of a stub to the answer ("{(")."""
    together = zip(*sequences, strict=False)
    return next((i for i, ids in enumerate(together) if len(set(ids)) > 1), min(map(len, sequences)))


def _rest_of_box(stub: str) -> str:
    """What is missing of a box that a stub has begun to open; nothing where it has not."""
    begun = next((n for n in range(len(BOX), 0, -1) if stub.endswith(BOX[:n])), len(BOX))
    return BOX[begun:]


def common_stub(run: Run, inside: Inside) -> str:
    """The commonest way in which a run's responses go from their thoughts to their answer (`response_stub`).

    A response's own would be read from what it is yet to say.

    Raises:
        DataError: The run has no responses to prompts.
    """
    close = run.identity.think_close
    whole = {row.id for row in run.prefixes() if row.kind == "root"}
    rollouts = islice((one for one in run.rollouts(intervention_id=Baseline().id) if one.prefix_id in whole), SEEN)
    found = Counter(
        _up_to_box(one.text, close) or response_stub(one.text, one.token_ids or (), close, inside.tokenizer)
        for one in rollouts
    )
    if not found:
        raise DataError(f"{run.path} has no responses to prompts: how they go on to an answer is not known")
    return max(sorted(found), key=lambda one: found[one])


def _up_to_box(text: str, think_close: str) -> str:
    """What a response says from the end of its thoughts up to its answer; nothing where it has no box."""
    closed = text.rfind(think_close) if think_close else -1
    box = text.find(BOX, max(closed, 0))
    return text[closed : box + len(BOX)] if closed >= 0 and box >= 0 else ""


class AnswerLens:
    """How much every layer leans to the hinted answer against the other, at the end of what is shown; kept once read.

    The hinted answer is the wrong one in the task `used` (the other is the gold answer as it is written down: where
    several are right, as in Countdown, that one), and the right one in the task `shaped` (the other is the wrong one
    that the problem's other hints name). The stub is one for all (`common_stub`).
    """

    def __init__(self, run: Run, inside: Inside, task: Task = "used", *, layers: Sequence[int] | None = None) -> None:
        """Prepare; nothing is read yet.

        Args:
            run: With a study of arms.
            inside: The model.
            task: Whose rows are read.
            layers: Which; None: all.

        Raises:
            ModelError: The model has no such layer.
        """
        self.layers = tuple(range(inside.shape.n_layers)) if layers is None else tuple(dict.fromkeys(layers))
        for layer in self.layers:
            HookPoint("resid_post", layer).check(inside.shape)
        self.run, self.inside, self.task = run, inside, task
        self.tokens, self._hints, self._stub = ShownTokens(run, inside), bare_hints(run), ""
        self._gold = {asked_of(problem).of: problem.answer for problem in run.problems().values()}
        self._seen: dict[tuple[str, str], NDArray[np.float64]] = {}

    def answers(self, row: Shown) -> tuple[str, str] | None:
        """The hinted answer and the other one; None where the run does not have both."""
        hints = self._hints.get(row.problem, {})
        wrong = hints[False].answer if False in hints else None
        right = self._gold.get(row.problem)
        pair = (wrong, right) if self.task == "used" else (right, wrong)
        return None if pair[0] is None or pair[1] is None or pair[0] == pair[1] else (pair[0], pair[1])

    def lacking(self, rows: Sequence[Shown]) -> str | None:
        """Why these cannot be read; None where they can."""
        without = len({row.problem for row in rows if self.answers(row) is None})
        if not without:
            return None
        of = f"{without} of {len({row.problem for row in rows})} problems"
        return f"for {of} the run has no two answers to lean to, a hinted one and another that it can be told from"

    @property
    def stub(self) -> str:
        """What closes the thoughts and begins an answer."""
        self._stub = self._stub or common_stub(self.run, self.inside)
        return self._stub

    def leans(self, rows: Sequence[Shown]) -> NDArray[np.float64]:
        """Log odds, nats, of the hinted answer against the other, shape (rows, layers).

        Raises:
            UserError: The run does not have two answers to each problem.
        """
        if (why := self.lacking(rows)) is not None:
            raise UserError(f"the lens has nothing to read: {why}")
        return np.stack([self._lean(row) for row in rows])

    def _lean(self, row: Shown) -> NDArray[np.float64]:
        key = (row.rollout_id, row.text)
        pair = self.answers(row)
        if key not in self._seen and pair is not None:
            hinted, other = answer_logprobs(self.inside, self.tokens.shown(row), self.stub, pair, self.layers)
            self._seen[key] = hinted - other
        return self._seen[key]


class LensMonitor:
    """A monitor that learns nothing: it flags where a layer leans to the hinted answer."""

    def __init__(self, lens: AnswerLens, layer: int) -> None:
        """Prepare.

        Args:
            lens: What reads.
            layer: One of the lens's.
        """
        self.lens, self.layer = lens, layer

    def __call__(self, train: Sequence[Shown], test: Sequence[Shown]) -> NDArray[np.float64]:
        """Scores [test]: log odds of the hinted answer at the layer."""
        return self.lens.leans(test)[:, self.lens.layers.index(self.layer)]

"""What every engine asks of a request before it samples."""

from __future__ import annotations

from cotlab.chains.prefix import Prefix
from cotlab.engines.base import Capabilities, Failure, Passage, Request
from cotlab.errors import EngineError, ModelError
from cotlab.identity import content_id
from cotlab.interventions.base import ActivationChange, Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.interventions.suppression import AttentionSuppression
from cotlab.interventions.where import Placement

__all__ = [
    "cache_salt",
    "check_counted",
    "check_steered",
    "new_token_limit",
    "no_room",
    "placement",
    "refuse_images",
    "refuse_intervention",
    "refuse_unsupported",
]


def new_token_limit(request: Request, max_model_len: int) -> int:
    """How many new tokens a rollout may have (0 or less: there is no room for one)."""
    prefix = request.condition.prefix
    kept = len(prefix.token_ids) - prefix.n_prompt
    return min(request.condition.settings.new_tokens(kept), max_model_len - len(prefix.token_ids))


def no_room(request: Request, max_model_len: int) -> Failure:
    """Failure of a request whose prefix leaves no room for a new token."""
    prefix, settings = request.condition.prefix, request.condition.settings
    return Failure(
        request,
        f"no room for a new token: the prefix has {len(prefix.token_ids)} tokens ({len(prefix.kept_ids)} of them kept),"
        f" max_tokens is {settings.max_tokens} and the model holds {max_model_len}; raise max_tokens or cut the prefix",
    )


def refuse_unsupported(asked: Condition | Passage, engine: str, capabilities: Capabilities) -> None:
    """Stop before anything is sampled or read without its images, or under an intervention that cannot be applied.

    Raises:
        ModelError: The engine does not have this kind of intervention, or shows the model no images.
    """
    refuse_images(asked.prefix, engine, capabilities)
    refuse_intervention(asked.intervention, engine, capabilities)


def refuse_images(prefix: Prefix, engine: str, capabilities: Capabilities) -> None:
    """Stop before images are left out unsaid.

    Raises:
        ModelError: The prefix has images, and the engine does not show them to the model.
    """
    if prefix.images and not capabilities.images:
        raise ModelError(
            f"prefix {prefix.id} has {len(prefix.images)} images, and the {engine} engine shows this model none: take "
            "an image-text model and --engine transformers"
        )


def refuse_intervention(intervention: Intervention, engine: str, capabilities: Capabilities) -> None:
    """The second half of `refuse_unsupported`, for an intervention by itself.

    Raises:
        ModelError: The engine does not have this kind of intervention.
    """
    kind = intervention.kind
    if kind not in capabilities.interventions:
        known = ", ".join(sorted(capabilities.interventions))
        missing = capabilities.missing
        if kind == AttentionSuppression.kind:
            missing = "attention is suppressed by --engine transformers only"
        why = f" ({missing})" if missing else ""
        raise ModelError(f"the {engine} engine cannot apply an intervention of kind '{kind}'; it knows: {known}{why}")


def placement(intervention: Intervention, n_prompt: int, n_prefix: int) -> Placement | None:
    """Where an intervention comes into question in a sequence; None for the baseline."""
    if isinstance(intervention, AttentionSuppression):
        return intervention.place(n_prompt, n_prefix)
    return intervention.where.place(n_prompt, n_prefix) if isinstance(intervention, ActivationChange) else None


def cache_salt(intervention: Intervention, where: Placement | None) -> str | None:
    """Salt of the prefix cache; None for the baseline.

    Keys and values of a token under an intervention depend on the tokens before, and on the places where it holds.
    These are the same in two sequences only where both intervention and placing are.
    """
    if intervention == Baseline():
        return None
    return content_id("salt", [intervention.id, None if where is None else [where.start, where.stop]])


def check_steered(request: Request, n_new: int, counted: int | None) -> None:
    """Say so where an intervention was not applied at the tokens where it should have been.

    Args:
        request: What was asked.
        n_new: Sampled tokens; the last one is never read by the model.
        counted: Tokens that the engine applied it at.

    Raises:
        EngineError: There are too few, or too many.
    """
    condition = request.condition
    check_counted(condition.intervention, condition.prefix, len(condition.prefix.token_ids) + n_new - 1, counted)


def check_counted(steering: Intervention, prefix: Prefix, n_read: int, counted: int | None) -> None:
    """The same for any sequence of which the model read `n_read` tokens.

    Raises:
        EngineError: There are too few, or too many.
    """
    if not isinstance(steering, ActivationChange):
        return
    span = steering.where.place(prefix.n_prompt, len(prefix.token_ids))
    most = max(0, (n_read if span.stop is None else min(span.stop, n_read)) - span.start)
    if counted is None or counted > most or (counted < most and not steering.where.needs_tokens):
        raise EngineError(
            f"the intervention {steering.id} was applied at {counted or 0} tokens of a sequence where it should have "
            f"been at {'up to ' if steering.where.needs_tokens else ''}{most}; nothing was stored of it"
        )

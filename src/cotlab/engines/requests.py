"""What every engine asks of a request before it samples."""

from __future__ import annotations

from cotlab.engines.base import Capabilities, Failure, Request
from cotlab.errors import ModelError

__all__ = ["new_token_limit", "no_room", "refuse_unsupported"]


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


def refuse_unsupported(request: Request, engine: str, capabilities: Capabilities) -> None:
    """Stop before anything is sampled under an intervention that the engine cannot apply.

    Raises:
        ModelError: The engine does not have this kind of intervention.
    """
    kind = request.condition.intervention.kind
    if kind not in capabilities.interventions:
        known = ", ".join(sorted(capabilities.interventions))
        raise ModelError(f"the {engine} engine cannot apply an intervention of kind '{kind}'; it knows: {known}")

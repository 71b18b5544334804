"""What a job can do: for each kind its request and the function that carries it out.

A request is a frozen pydantic model with a field `run` (the folder that is filled) and a method `of`; the function
takes it and a `Progress`, and returns what the finished job says of itself, as JSON values. Rooms above this one name
theirs here as text, loaded when a job of that kind runs, as importers are (`cotlab.runs.imports`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cotlab.errors import RunError

__all__ = ["KINDS", "carry_out", "kind_of", "request_of"]

KINDS: dict[str, tuple[str, str]] = {
    "study": ("cotlab.sampling.config:StudyConfig", "cotlab.sampling.study:study_job"),
    "branch": ("cotlab.sampling.branching:BranchConfig", "cotlab.sampling.branching:branch_job"),
    "edit": ("cotlab.sampling.edit_branch:EditConfig", "cotlab.sampling.edit_branch:edit_job"),
    "image": ("cotlab.sampling.image_branch:ImageConfig", "cotlab.sampling.image_branch:image_job"),
    "import": ("cotlab.sampling.import_job:ImportConfig", "cotlab.sampling.import_job:import_job"),
    "steer": ("cotlab.sampling.white_box_requests:SteerConfig", "cotlab.whitebox.jobs:steer_job"),
    "suppress": ("cotlab.sampling.white_box_requests:SuppressConfig", "cotlab.whitebox.jobs:suppress_job"),
    "feature": ("cotlab.sampling.white_box_requests:FeatureConfig", "cotlab.saes.jobs:feature_job"),
    "features": ("cotlab.sampling.white_box_requests:FeaturesConfig", "cotlab.saes.jobs:features_job"),
    "inside": ("cotlab.sampling.white_box_requests:InsideConfig", "cotlab.whitebox.jobs:inside_job"),
}
"""Request and function of each kind: `module:name`."""


def kind_of(request: Any) -> str:
    """The kind of a request.

    Raises:
        RunError: There is none for it.
    """
    name = f"{type(request).__module__}:{type(request).__name__}"
    for kind, (theirs, _) in KINDS.items():
        if theirs == name:
            return kind
    raise RunError(f"no job carries out a {type(request).__name__}. Ask for one of {', '.join(KINDS)}")


def request_of(kind: str, asked: dict[str, Any]) -> Any:
    """A request out of what `job.json` holds.

    Raises:
        RunError: The kind is unknown (a newer version wrote it).
        UserError: A value is out of range.
    """
    if kind not in KINDS:
        raise RunError(f"no job is of kind '{kind[:40]}' here: update cotlab")
    return _load(KINDS[kind][0]).of(**asked)


def carry_out(kind: str, asked: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Do what was asked for; returns what the job says of itself."""
    request = request_of(kind, asked)
    result: dict[str, Any] = _load(KINDS[kind][1])(request, progress)
    return result


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)

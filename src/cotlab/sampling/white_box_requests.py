"""What jobs of the white box are asked for. The requests lie here, so that who asks need not load PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cotlab.errors import DataError
from cotlab.interventions import AttentionSuppression, FeatureChange, Where, load_vector
from cotlab.sampling.branching import checked

__all__ = ["FeatureConfig", "FeaturesConfig", "InsideConfig", "SteerConfig", "SuppressConfig", "reading_file"]


class SteerConfig(BaseModel):
    """A branch under a steering vector, as a user asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    step: int = Field(ge=0)
    """Steps of the chain that are kept."""
    vector: Path
    doses: tuple[float, ...] = (0.2,)
    part: str = "new"
    """Where it holds: `cotlab.interventions.Where.part`."""
    n: int = Field(default=50, ge=5, le=1_000_000)
    n_random: int = Field(default=2, ge=0, le=200)
    """Norm-matched random vectors beside it."""
    engine: str = "auto"
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> SteerConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or the vector cannot be read.
        """
        found = checked(cls, asked)
        load_vector(found.vector)
        Where(found.part)  # type: ignore[arg-type]  # `Where` checks it
        return found


class SuppressConfig(BaseModel):
    """A branch on which a step of the chain is hidden, as a user asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    step: int = Field(ge=0)
    """The hidden step."""
    kept: int = Field(ge=1)
    """Steps of the chain that are kept, the hidden one among them."""
    blind_from: int | None = Field(default=None, ge=1)
    """First step that does not see it; None: the next one."""
    heads: tuple[str, ...] = ()
    """Layers (`3`) and heads (`3.1`) in which it is hidden; none: all."""
    n: int = Field(default=50, ge=5, le=1_000_000)
    n_controls: int = Field(default=2, ge=0, le=200)
    """Other kept steps hidden beside it, those nearest in length."""
    temperature: float | None = Field(default=None, gt=0, le=100)
    """None: as the run was sampled."""
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> SuppressConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or a head is none.
        """
        found = checked(cls, asked)
        AttentionSuppression(0, 1, heads=found.heads)
        return found


class FeatureConfig(BaseModel):
    """A branch with features of an autoencoder set, as a user asks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    step: int = Field(ge=0)
    """Steps of the chain that are kept."""
    sae: str = Field(min_length=1)
    """A folder or file, or a name that `cotlab sae` knows."""
    changes: tuple[str, ...] = Field(min_length=1)
    """As `FeatureChange.parse` reads them: `12:clamp:5`, `7:ablate`."""
    units: Literal["raw", "normalised"] | None = None
    """Of clamped and added values; None: the autoencoder's own."""
    part: str = "new"
    """Where it holds: `cotlab.interventions.Where.part`."""
    n: int = Field(default=50, ge=5, le=1_000_000)
    n_random: int = Field(default=5, ge=0, le=200)
    """Random features beside it; random directions too, two at most."""
    transfer: bool = False
    """Allow an autoencoder of another model."""
    engine: str = "auto"
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> FeatureConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or a change is not understood.
        """
        found = checked(cls, asked)
        for change in found.changes:
            FeatureChange.parse(change, found.units or "raw")
        Where(found.part)  # type: ignore[arg-type]  # `Where` checks it
        return found


class FeaturesConfig(BaseModel):
    """Dashboards of the features of an autoencoder on a run, and along one of its chains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    sae: str = Field(min_length=1)
    features: tuple[int, ...] = ()
    """None: those with the highest ReasonScore."""
    top: int = Field(default=12, ge=1, le=500)
    n: int = Field(default=100, ge=1, le=1_000_000)
    """Rollouts that are read."""
    transfer: bool = False

    @classmethod
    def of(cls, **asked: Any) -> FeaturesConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range.
        """
        return checked(cls, asked)


class InsideConfig(BaseModel):
    """A chain to be read on the inside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    chain_id: str
    probes: tuple[Path, ...] = ()
    """Saved probes (`cotlab probe --save`), applied at the ends of steps."""
    suppression: bool = False
    """Also hide each step from those behind it: one forward pass a step."""

    @classmethod
    def of(cls, **asked: Any) -> InsideConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range, or a probe is not there.
        """
        found = checked(cls, asked)
        missing = next((path for path in found.probes if not path.is_file()), None)
        if missing is not None:
            raise DataError(f"no probe at {missing}. `cotlab probe RUN --save FOLDER` makes some")
        return found


def reading_file(run: Path, chain_id: str) -> Path:
    """Where the reading of a chain lies: beside the activations of its run."""
    return run / "inside" / f"{chain_id}.json"

"""What jobs do with autoencoders (`cotlab.sampling.job_kinds`): branches with features set, dashboards of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotlab.errors import UserError
from cotlab.interventions import FeatureChange, Where
from cotlab.runs import Run
from cotlab.saes.dashboard import feature_dashboards
from cotlab.saes.feature_branch import branch_features
from cotlab.saes.firings import check_features, read_firings
from cotlab.saes.fitting import fit_sae
from cotlab.saes.loading import open_sae
from cotlab.saes.overview import feature_overview
from cotlab.saes.vision.image_firings import read_image_firings
from cotlab.saes.vision.run_images import image_document, image_prompts
from cotlab.sampling import Budget, Progress, find_chain
from cotlab.sampling.jobs import write_json
from cotlab.sampling.white_box_requests import FeatureConfig, FeaturesConfig
from cotlab.whitebox.inside import Inside

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.interventions import SparseAutoencoder

__all__ = ["FOLDER", "IMAGES", "along_chain", "feature_job", "features_job"]

FOLDER = "features"
"""Of a run: one document an autoencoder."""
IMAGES = "image-features"
"""The same for what features do on the run's images."""


def feature_job(config: FeatureConfig, progress: Progress) -> dict[str, Any]:
    """Draw the arms (`branch_features`); returns their effects against the baseline of the same seeds."""
    progress.phase("loading the autoencoder", 0)
    sae = _opened(config.run, config.sae, config.transfer)
    result = branch_features(
        config.run,
        sae,
        [FeatureChange.parse(text, config.units or sae.card.units) for text in config.changes],
        step=config.step,
        chain=config.chain_id,
        where=Where(config.part),  # type: ignore[arg-type]  # `Where` checks it
        n=config.n,
        n_random=config.n_random,
        engine=config.engine,
        budget=Budget.parse(config.budget) if config.budget else None,
        progress=progress,
    )
    drawn = config.n * (1 + len(result.result.arms))
    return {"sampled_now": drawn, "prefix_id": result.result.prefix_id, **result.to_json()}


def features_job(config: FeaturesConfig, progress: Progress) -> dict[str, Any]:
    """Read a run through an autoencoder, and one of its chains; writes a document into `FOLDER`.

    Read again for another chain, the document keeps what it says along the chains that were read before. Where the run
    shows images, a document into `IMAGES` besides; of an autoencoder in the vision encoder or projector only that one.
    """
    progress.phase("loading model and autoencoder", 0)
    sae = _opened(config.run, config.sae, config.transfer)
    check_features(sae, config.features)
    with Run.open(config.run) as run:
        chain, inside = find_chain(run, config.chain_id), Inside.open(run.identity.model)
        written = _images_read(run, inside, sae, config, progress)
        if sae.point.is_vision and not written:
            raise UserError(f"{run.path.name} shows no images, and {sae.point} is about nothing else: take another SAE")
        if not sae.point.is_vision:
            written.append(_tokens_read(run, inside, sae, chain, config, progress))
    return {"sampled_now": 0, "file": str(written[-1])}


def _tokens_read(
    run: Run, inside: Inside, sae: SparseAutoencoder, chain: Chain, config: FeaturesConfig, progress: Progress
) -> Path:
    firings = read_firings(run, inside, sae, n=config.n, progress=progress)
    overview = feature_overview(firings, sae, inside.tokenizer, top=config.top)
    features = list(config.features) or [row.feature for row in overview.rows]
    progress.say(f"dashboards of {len(features)} features")
    document = feature_dashboards(firings, inside, sae, features).to_json()
    file = config.run / FOLDER / f"{sae.id[:12]}.json"
    before = json.loads(file.read_bytes()) if file.is_file() else {}
    along = before.get("along", {}) if before.get("sae_id") == sae.id else {}
    along[chain.id] = along_chain(inside, sae, chain)
    file.parent.mkdir(exist_ok=True)
    write_json(file, {**document, "overview": overview.to_json(), "along": along})
    return file


def _images_read(
    run: Run, inside: Inside, sae: SparseAutoencoder, config: FeaturesConfig, progress: Progress
) -> list[Path]:
    """The file that was written; none where the run shows no images."""
    if not run.image_ids() or not (prompts := image_prompts(run, config.n)):
        return []
    firings = read_image_firings(inside, sae, [prompt for prompt, _ in prompts], progress)
    scenes = [scene for _, scene in prompts]
    document = image_document(firings, scenes, inside.name, config.features, config.top)
    file = config.run / IMAGES / f"{sae.id[:12]}.json"
    file.parent.mkdir(exist_ok=True)
    write_json(file, document)
    return [file]


def along_chain(inside: Inside, sae: SparseAutoencoder, chain: Chain) -> dict[str, Any]:
    """Every feature that is active at tokens of a chain's response.

    Returns:
        `tokens`: their texts. `ends`: one past the last token of each step. `active`: by feature, pairs of token and
        activation, the autoencoder's units.
    """
    ids, n_prompt = chain.whole.token_ids, len(chain.prompt_ids)
    rows = inside.read(chain.whole, [sae.point])[sae.point][n_prompt:]
    active = sae.encode_sparse(rows.to(sae.b_dec.device))
    found: dict[str, list[tuple[int, float]]] = {}
    triples = zip(active.tokens.tolist(), active.features.tolist(), active.values.tolist(), strict=True)
    for token, feature, value in triples:
        found.setdefault(str(feature), []).append((token, round(value, 4)))
    pieces = inside.tokenizer.pieces(ids)[n_prompt:]
    return {"tokens": pieces, "ends": [step.end for step in chain.steps], "active": found}


def _opened(run: Path, name: str, transfer: bool) -> SparseAutoencoder:
    with Run.open(run) as store:
        model = store.identity.model
    return fit_sae(open_sae(name), model, transfer=transfer).load()

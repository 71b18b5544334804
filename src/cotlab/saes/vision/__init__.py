"""Sparse autoencoders on image-text models: regions of features, what they carry of a hallucination, steering.

firings = read_image_firings(inside, sae, prefixes)   what is active at which parts of which images
region_fits(firings, masks)                           IoU of regions with what scenes exactly hold
monosemanticity(firings.by_image, embeddings)         whether images of a feature are alike (Pach et al. 2025)
interpret_image_feature(firings, 7, server)           what another image-text model says of one, tried
carrying = carrying_features(asking, sae, cases)      which features carry an error
choose_setting(sets, sae, carrying.chosen(3))         how many of them are scaled, by what factor
reduce_errors(asked, sae, features, carrying)         whether that reduces it elsewhere, with controls and cost
Trainings((vision_features(asking, sae, plan), …))    all of it, of several autoencoders
"""

from cotlab.saes.vision.asked import AskedSet, asked_anything, asked_cases, cases_apart
from cotlab.saes.vision.carrying import Carrying, carrying_features
from cotlab.saes.vision.choosing import FACTORS, Choice, ChoosingSets, Setting, Trial, choose_setting
from cotlab.saes.vision.image_firings import ImageFirings, ReadImage, read_image_firings
from cotlab.saes.vision.image_interpretation import interpret_image_feature
from cotlab.saes.vision.monosemanticity import (
    Monosemanticity,
    monosemanticity,
    pixel_embeddings,
    scene_embeddings,
)
from cotlab.saes.vision.regions import ATTRIBUTES, RegionFit, attribute_masks, region_fits
from cotlab.saes.vision.run_images import image_document, image_prompts
from cotlab.saes.vision.scene_traces import scene_traces
from cotlab.saes.vision.steering import ACTIONS, ArmResult, Reduction, feature_change, reduce_errors, reduces
from cotlab.saes.vision.study import FeaturePlan, VisionFeatures, vision_features
from cotlab.saes.vision.trainings import Spread, Trainings

__all__ = [
    "ACTIONS",
    "ATTRIBUTES",
    "FACTORS",
    "ArmResult",
    "AskedSet",
    "Carrying",
    "Choice",
    "ChoosingSets",
    "FeaturePlan",
    "ImageFirings",
    "Monosemanticity",
    "ReadImage",
    "Reduction",
    "RegionFit",
    "Setting",
    "Spread",
    "Trainings",
    "Trial",
    "VisionFeatures",
    "asked_anything",
    "asked_cases",
    "attribute_masks",
    "carrying_features",
    "cases_apart",
    "choose_setting",
    "feature_change",
    "image_document",
    "image_prompts",
    "interpret_image_feature",
    "monosemanticity",
    "pixel_embeddings",
    "read_image_firings",
    "reduce_errors",
    "reduces",
    "region_fits",
    "scene_embeddings",
    "scene_traces",
    "vision_features",
]

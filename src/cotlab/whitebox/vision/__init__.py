"""Inside an image-text model: what image tokens say, where an object hallucination enters, whether it is seen coming.

asking = Asking.of(Inside.open("tiny-vlm:prior"), resolve_model("tiny-vlm:prior").card)
read_image_lens(asking.inside, prefix, ["star"])     what every layer would say at every part of an image
naming_study(asking, scenes)                         whether it names objects where they are
material = scene_material(asking, Habit("star", "moon"))   or read_pairs(path, asking): pictures of your own
locating_study(asking, material, twin=honest)        perception, alignment, language prior, or undecided
warning_study(asking, WarningPlan((Habit("star", "moon"),)))   is a wrong Yes, or a word for what is not there, coming?
"""

from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import VERSIONS, Case, Habit, SceneCase, Version, draw_cases, one_cell_apart
from cotlab.whitebox.vision.erasing import SiteErasure, erase_cases
from cotlab.whitebox.vision.image_lens import ImageLens, image_spans, read_image_lens
from cotlab.whitebox.vision.locating import Answers, Located, Verdict, ask_cases, locate
from cotlab.whitebox.vision.naming import NamingStudy, naming_study
from cotlab.whitebox.vision.pair_files import read_pairs, write_pairs
from cotlab.whitebox.vision.patching import SitePatch, patch_cases
from cotlab.whitebox.vision.places import Region, covered, on_region
from cotlab.whitebox.vision.readout import (
    Readout,
    SiteReadout,
    Taught,
    fit_readout,
    read_out,
    scenes_to_teach,
    score_cases,
)
from cotlab.whitebox.vision.sites import Part, Site, error_of, sites_of
from cotlab.whitebox.vision.study import LocatingPlan, LocatingStudy, Material, locating_study, scene_material
from cotlab.whitebox.vision.swapping import Swapped, swap_parts
from cotlab.whitebox.vision.warning import Warned, judge_warning
from cotlab.whitebox.vision.warning_examples import WarningExamples, described, word_examples, yes_examples
from cotlab.whitebox.vision.warning_study import WarningPlan, WarningStudy, warning_study

__all__ = [
    "VERSIONS",
    "Answers",
    "Asking",
    "Case",
    "Habit",
    "ImageLens",
    "Located",
    "LocatingPlan",
    "LocatingStudy",
    "Material",
    "NamingStudy",
    "Part",
    "Readout",
    "Region",
    "SceneCase",
    "Site",
    "SiteErasure",
    "SitePatch",
    "SiteReadout",
    "Swapped",
    "Taught",
    "Verdict",
    "Version",
    "Warned",
    "WarningExamples",
    "WarningPlan",
    "WarningStudy",
    "ask_cases",
    "covered",
    "described",
    "draw_cases",
    "erase_cases",
    "error_of",
    "fit_readout",
    "image_spans",
    "judge_warning",
    "locate",
    "locating_study",
    "naming_study",
    "on_region",
    "one_cell_apart",
    "patch_cases",
    "read_image_lens",
    "read_out",
    "read_pairs",
    "scene_material",
    "scenes_to_teach",
    "score_cases",
    "sites_of",
    "swap_parts",
    "warning_study",
    "word_examples",
    "write_pairs",
    "yes_examples",
]

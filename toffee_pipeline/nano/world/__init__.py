"""The small world: a ray-traced toy box with exact masks, depth, correspondences and captions."""

from .additions import ADDITIONS
from .backgrounds import BACKGROUNDS
from .camera import View
from .captions import STYLE_PHRASES, caption, subject_words, with_article
from .classes import CLASS_NAMES, REMOVABLE
from .palette import COLORS
from .patterns import PATTERNS
from .primitives import Primitive
from .render import Rendering, place_inverse_depth, render
from .styles import STYLES
from .toys import Toy, make_toy, recolored, with_addition, with_identity_of, with_pattern, without_part

__all__ = [
    "ADDITIONS",
    "BACKGROUNDS",
    "CLASS_NAMES",
    "COLORS",
    "PATTERNS",
    "REMOVABLE",
    "STYLES",
    "STYLE_PHRASES",
    "Primitive",
    "Rendering",
    "Toy",
    "View",
    "caption",
    "make_toy",
    "place_inverse_depth",
    "recolored",
    "render",
    "subject_words",
    "with_addition",
    "with_article",
    "with_identity_of",
    "with_pattern",
    "without_part",
]

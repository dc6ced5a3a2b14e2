"""What the paper's ablations train and ask (Tables 2 and 3, section 3.3), and what it claims of the answers."""

from __future__ import annotations

from dataclasses import dataclass

VIEW, STRUCTURE, EDIT = "new view", "structure", "edit"
LAMBDAS = (0.0, 0.25, 0.5, 0.75)
"""Beside 1, as in training."""
ASKED: dict[str, tuple[str, ...]] = {
    VIEW: (),
    STRUCTURE: ("stages.draw.depth=input",),
    EDIT: ("stages.draw.depth=input", "stages.draw.task=edit"),
    **{f"lambda {scale:g}": (f"stages.draw.dino_scale={scale:g}",) for scale in LAMBDAS},
}
"""Settings of jobs/evaluate.py by name. They differ at inference alone, so that a variant's network serves all."""


@dataclass(frozen=True)
class Variant:
    """A network. training: its settings over the nano profile's. asked: of ASKED. drafts: it learns from the pairs as
    they are before refining and filtering."""

    name: str
    training: tuple[str, ...]
    asked: tuple[str, ...]
    drafts: bool = False


VARIANTS = (
    Variant("full", (), tuple(ASKED)),
    Variant("E", ("pairs=edit",), (EDIT,)),
    Variant("G", ("pairs=generation",), (VIEW, STRUCTURE)),
    Variant("p0.25", ("reconstruction_probability=0.25",), (VIEW, STRUCTURE, EDIT)),
    Variant("p0.5", ("reconstruction_probability=0.5",), (VIEW, STRUCTURE, EDIT)),
    Variant("segmented", ("dino_input=segmented",), (VIEW, STRUCTURE)),
    Variant("R", (), (VIEW, STRUCTURE), drafts=True),
)
"""full is also p = 0, lambda 1 and DINO of the whole image."""

Cell = tuple[str, str]
"""A variant and how it is asked."""


@dataclass(frozen=True)
class Claim:
    """That a metric is higher in one cell than in another; or, with `same`, that it is not different.

    paper: by how much it is there; None where the paper gives no number.
    """

    text: str
    metric: str
    more: Cell
    less: Cell
    paper: float | None = None
    same: bool = False


SEG_DINO, SEG_CLIP_I, CLIP_T, LAYOUT = "seg_dino", "seg_clip_i", "clip_t", "layout"
METRICS = {SEG_DINO: "Seg-DINO", SEG_CLIP_I: "Seg-CLIP-I", CLIP_T: "CLIP-T", LAYOUT: "layout"}
"""layout: overlap of the subject's silhouettes in the picture and in the input image, intersection over union."""


def _of_reconstruction() -> list[Claim]:
    published = {VIEW: (0.028, 0.018), STRUCTURE: (0.015, 0.020), EDIT: (0.011, 0.010)}
    claims = []
    for asked, (gained, lost) in published.items():
        low, high = ("full", asked), ("p0.5", asked)
        claims.append(Claim(f"Seg-DINO rises with p ({asked})", SEG_DINO, high, low, gained))
        claims.append(Claim(f"CLIP-T falls with p ({asked})", CLIP_T, low, high, lost))
    return claims


def _of_data() -> list[Claim]:
    claims = []
    for asked in (VIEW, STRUCTURE):
        for metric in (SEG_DINO, CLIP_T):
            text = f"refined and filtered data beat drafts in {METRICS[metric]} ({asked})"
            claims.append(Claim(text, metric, ("full", asked), ("R", asked)))
    return claims


_NO_LAMBDA, _LAMBDA = ("full", f"lambda {LAMBDAS[0]:g}"), ("full", VIEW)
CLAIMS = (
    *_of_reconstruction(),
    Claim("lambda: 1 shows more of the subject than 0", SEG_DINO, _LAMBDA, _NO_LAMBDA),
    Claim("lambda: 0 shows more of the text than 1", CLIP_T, _NO_LAMBDA, _LAMBDA),
    Claim("-E: edits are less like the subject", SEG_DINO, ("full", EDIT), ("E", EDIT), 0.003),
    Claim("-E: edits are more like the text", CLIP_T, ("E", EDIT), ("full", EDIT), 0.002),
    Claim("-G: more like the subject (structure)", SEG_DINO, ("G", STRUCTURE), ("full", STRUCTURE), 0.003),
    Claim("-G: less like the text (structure)", CLIP_T, ("full", STRUCTURE), ("G", STRUCTURE), 0.007),
    Claim("-G: more like the subject (new view)", SEG_DINO, ("G", VIEW), ("full", VIEW), 0.018),
    Claim("-G: less like the text (new view)", CLIP_T, ("full", VIEW), ("G", VIEW), 0.008),
    Claim("constant depth changes the view, a depth map keeps it", LAYOUT, ("full", STRUCTURE), ("full", VIEW)),
    Claim("a depth map: more like the subject", SEG_DINO, ("full", STRUCTURE), ("full", VIEW), 0.016),
    Claim("constant depth: more like the text", CLIP_T, ("full", VIEW), ("full", STRUCTURE), 0.006),
    Claim("whole or segmented: the same subject", SEG_DINO, ("full", VIEW), ("segmented", VIEW), 0.003, same=True),
    Claim("whole or segmented: the same text", CLIP_T, ("segmented", VIEW), ("full", VIEW), 0.001, same=True),
    *_of_data(),
)
LAID_OUT = {cell for claim in CLAIMS if claim.metric == LAYOUT for cell in (claim.more, claim.less)}
"""Cells whose silhouettes are looked for."""

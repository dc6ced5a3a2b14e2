"""An evaluation in words, for its page and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.evaluation.figures import Figure, SelfTest
from toffee_pipeline.evaluation.published import TOLERANCE
from toffee_pipeline.evaluation.result import Evaluation
from toffee_pipeline.models.weights import describe_weights
from toffee_pipeline.rundir.description import EvaluationRun

LABELS = {"dino": "DINO", "clip_i": "CLIP-I", "seg_dino": "Seg-DINO", "seg_clip_i": "Seg-CLIP-I"}
PREPROCESSING = {
    "pretrained": "central square, resize to 256 px bicubic, centre crop of 224 px, ImageNet's mean and std; CLS token",
    "nano": "central square, resize to the network's size bicubic, mean and deviation 0.5; CLS token",
}
CLIP_PREPROCESSING = {
    "pretrained": "central square, then open_clip's own for these weights; projections",
    "nano": "central square, resize to the network's size bicubic, mean and deviation 0.5; projections",
}


def drawn_by(config: EvaluationConfig) -> str:
    if config.images is not None:
        return f"Pictures of another model, from {config.images}"
    if config.models.toffeenet is not None:
        draw, model = config.stages.draw, config.models.toffeenet
        return (
            f"{'Edits' if draw.task == 'edit' else 'Pictures'} by ToffeeNet, {model.path or model.weights}: "
            f"{draw.sampling.num_inference_steps} steps of "
            f"{draw.sampling.scheduler}, guidance {draw.sampling.guidance_scale:g}, lambda {draw.dino_scale:g}, depth: "
            f"{draw.depth}"
        )
    return "Real pictures alone"


def verdict(test: SelfTest) -> str:
    """The self-test in one line."""
    if test.holds is None:
        return f"Self-test: real against real cannot be compared: {test.source}."
    if test.holds:
        return f"Self-test: real against real is within {TOLERANCE} of what is {test.source}."
    return f"Self-test failed: real against real is not within {TOLERANCE} of what is {test.source}: trust no figure."


def comparable(config: EvaluationConfig, test: SelfTest) -> str:
    """Whether the published figures may stand beside these."""
    if config.benchmark.name != "dreambench" or not config.has_published_encoders:
        return (
            f"They are of DreamBench with DINO ViT-S/16 and CLIP ViT-B/32: not comparable with {config.benchmark.name}."
        )
    if not test.holds or config.benchmark.max_prompts is not None:
        return "This evaluation does not compare with them: see the self-test, and whether it is of all prompts."
    return "Of DreamBench with DINO ViT-S/16 and CLIP ViT-B/32, as this evaluation."


def same_dino(config: EvaluationConfig) -> bool:
    """Whether the DINO that scores also feeds the model that draws."""
    toffeenet = config.models.toffeenet
    if toffeenet is None:
        return False
    scores, feeds = config.models.filter_dino, toffeenet.training.models.dino
    return describe_weights(scores, "filter_dino") == describe_weights(feeds, "dino")


def facts(run: EvaluationRun, found: Evaluation) -> list[tuple[str, str]]:
    """Everything that a figure depends on."""
    config, roles = run.config, found.encoders
    dino, clip = config.models.filter_dino, config.models.clip
    rows = [
        ("Protocol toffee", "cosine to all real pictures of the subject, averaged"),
        ("Protocol single", "cosine to the input image alone"),
        ("DINO", f"{roles['filter_dino']}; {PREPROCESSING['pretrained' if dino.weights == 'pretrained' else 'nano']}"),
        ("CLIP", f"{roles['clip']}, {clip.architecture}; {CLIP_PREPROCESSING[_kind(clip)]}"),
        ("Cosines", "of float32 outputs, normalised; no weight of 2.5"),
    ]
    if config.models.detector is not None:
        segment = config.stages.segment
        rows.append(
            (
                "Cut-outs",
                f"Grounded-SAM: {roles['detector']} from {segment.box_threshold:g}, {roles['segmenter']}; black "
                "outside, not cropped",
            )
        )
    cut_outs = found.drawn or found.real
    rows += [
        (
            "Pictures without a cut-out",
            _without(cut_outs.figures["dino_toffee_score"], cut_outs.figures["seg_dino_toffee_score"]),
        ),
        ("Text", "the benchmark's prompt with its class noun and no rare token"),
        ("Pictures per prompt", str(config.images_per_prompt)),
        ("Benchmark", f"{config.benchmark.name}, plan {run.plan_hash}"),
        *(("ToffeeNet", roles["toffeenet"]) for _ in range("toffeenet" in roles)),
        ("Libraries", ", ".join(f"{name} {number}" for name, number in found.libraries.items())),
        ("Code", run.code_version),
        ("Started", f"{run.created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    ]
    return rows


def _kind(spec: ModelSpec) -> str:
    return "pretrained" if spec.weights == "pretrained" else "nano"


def _without(all_of: Figure, cut_outs: Figure) -> str:
    return str(all_of.num - cut_outs.num)


def lines(found: Evaluation) -> Iterator[str]:
    """For the terminal: the self-test before any figure of a model."""
    yield verdict(found.self_test)
    for name, figure in found.self_test.found.items():
        expected = (found.self_test.expected or {}).get(name)
        yield f"  {LABELS[name]}: {_shown(figure)}" + ("" if expected is None else f", expected {expected:.3f}")
    if found.drawn is None:
        return
    figures = found.drawn.figures
    for protocol in ("toffee", "single"):
        yield f"protocol {protocol}: " + ", ".join(
            f"{label} {_shown(figures[f'{name}_{protocol}_score'])}" for name, label in LABELS.items()
        )
    yield f"CLIP-T {_shown(figures['clip_t_score'])}, copy-paste {_shown(figures['copy_paste_score'])}"
    yield f"{found.drawn.num_planned} pictures, {found.drawn.num_failed} failed"


def _shown(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    interval = "" if figure.low is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{figure.value:.3f}{interval}"

"""What a calibration says in words, on the console and on its page."""

from __future__ import annotations

from collections.abc import Iterator

from toffee_pipeline.calibration.knobs import KNOBS
from toffee_pipeline.calibration.record import Calibration, CalibrationRun
from toffee_pipeline.calibration.thresholds import Proposal
from toffee_pipeline.config.stages import JudgeConfig
from toffee_pipeline.evaluation.estimate import Estimate

SCORES = {"min_dino": "DINO", "min_clip": "CLIP"}


def intention(run: CalibrationRun) -> Iterator[str]:
    """What will be tried, and with whom."""
    sweeps = run.config.calibration.sweeps
    tried = {knob.label: getattr(sweeps, knob.name) for knob in KNOBS}
    yield f"about {run.config.calibration.num_pairs} pairs, {sum(map(len, tried.values()))} settings and the own one"
    for label, values in tried.items():
        if values:
            yield f"  {label}: {', '.join(f'{value:g}' for value in values)}"
    for role, source in run.roles.items():
        yield f"  {role}: {source}"


def conclusion(found: Calibration) -> Iterator[str]:
    """The proposed thresholds, and what the chosen settings give."""
    judge = found.run.config.stages.judge
    for proposal in found.proposals:
        yield sentence(proposal, judge)
    before, after, gain = found.compared()
    yield (
        f"accepted {percent(before.accepted)} -> {percent(after.accepted)}, on the pairs that chose: "
        f"{percent(gain)} of them more"
    )


def sentence(proposal: Proposal, judge: JudgeConfig) -> str:
    """A threshold, the bar that led to it, and what the config has in its place."""
    name = SCORES[proposal.key]
    kind = "pairs of two subjects of a class" if proposal.bar == "refused" else "true pairs"
    num_true, num_false = len(proposal.cosines.true), len(proposal.cosines.false)
    if proposal.threshold is None:
        return f"{proposal.key}: none proposed: {num_true} true and {num_false} false pairs for {name}"
    end = "lowest" if proposal.bar == "refused" else "highest"
    return (
        f"{proposal.key} {proposal.threshold:g}: the {end} with {proposal.share:.0%} of {kind} {proposal.bar}; it "
        f"keeps {_share(proposal.kept)} of {num_true} true pairs and refuses {_share(proposal.refused)} of {num_false} "
        f"false ones; the config has {getattr(judge, proposal.key)}"
    )


def percent(estimate: Estimate) -> str:
    error = "" if estimate.error is None else f" ± {100 * estimate.error:.0f}"
    return f"{100 * estimate.value:.0f}{error} %"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"

"""A calibration from its sample to its page: each setting takes its turn on top of what those before it chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

from actors.calibration.bench import Bench
from actors.calibration.prepare import draw_sample, prepare
from actors.shard import Shard, present
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.stage import Progress, no_progress
from toffee_pipeline.calibration.knobs import KNOBS
from toffee_pipeline.calibration.page import choose_shown, render_page
from toffee_pipeline.calibration.record import ENCODERS, OVERLAY, SHARED, Calibration, CalibrationRun
from toffee_pipeline.calibration.sweep import judge_sweep, trials_of
from toffee_pipeline.calibration.thresholds import EncoderScores, found, propose
from toffee_pipeline.config.calibrate import CalibrationConfig
from toffee_pipeline.errors import ConfigError, DamagedFile, RunError
from toffee_pipeline.images import decode
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.report.tiles import thumbnail
from toffee_pipeline.rundir.inputs import new_plan
from toffee_pipeline.rundir.layout import FIGURES, REPORT
from toffee_pipeline.rundir.run_file import read, write
from toffee_pipeline.schema.subject_key import num_distinct
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import MAX_MAPPED_BYTES as MAX_SHARED_BYTES

MAX_TOKEN_BYTES, MAX_TEXT_BYTES = 2**20, 2**14
"""Of a subject's tokens, which DINOv2-Giant's are 770 KiB of, and of what else a row has beside its pictures."""


def plan_of(config: CalibrationConfig) -> Plan:
    """The plan of the run that is calibrated for; a small one has as many pairs as the sample.

    Raises ConfigError for a sample that might be too large to be kept, since that is known before anything is computed;
    else as `new_plan`.
    """
    if config.calibration.num_pairs > (most := most_pairs(config)):
        raise ConfigError(
            f"calibration.num_pairs={config.calibration.num_pairs}: what all settings share could be larger than the "
            f"{MAX_SHARED_BYTES} bytes that are read again; allowed are at most {most} here, of "
            f"size_px={config.size_px} and pairs.per_subject={config.pairs.per_subject}"
        )
    count = max(config.pairs.count, config.calibration.num_pairs)
    return cast(Plan, new_plan(config.with_count(count)))


def most_pairs(config: CalibrationConfig) -> int:
    """Pairs of whole subjects whose pictures fit into `MAX_SHARED_BYTES`, however little PNG packs them."""
    per_subject, num_pixels = config.pairs.per_subject, config.size_px**2
    subject_bytes = (3 + 1 + 2) * num_pixels + MAX_TOKEN_BYTES + MAX_TEXT_BYTES  # image, mask, depth of 16 bit
    pair_bytes = 3 * num_pixels + MAX_TEXT_BYTES  # a view, or a mask
    return MAX_SHARED_BYTES // (subject_bytes + per_subject * pair_bytes) * per_subject


def calibrate(
    run: CalibrationRun,
    plan: Plan,
    storage: Storage,
    say: Callable[[str], None],
    progress: Progress = no_progress,
) -> Calibration:
    """Computes what `storage` does not have yet, and writes figures, overlay and page.

    Args:
        run: as it lies in `storage`.
        plan: `plan_of` its config.
        say: gets a line per step.

    Raises:
        RunError: not one pair of the sample came to a draft, or the pictures of a bank are too large to be kept.
        OSError: the store failed.
    """
    config = run.config
    shared, encoders = _shared(config, plan, storage, say, progress)
    pairs = [state.pair for state in shared.open_pairs()]
    left_out = Counter(state.reason or state.error or state.status for state in shared.pairs if state.status != "ok")
    if not pairs:
        raise RunError(
            f"no pair of the sample came to a draft: {', '.join(f'{n} {why}' for why, n in left_out.items())}"
        )
    subjects = {state.id: state.subject for state in shared.open_subjects()}
    say(f"sample: {len(pairs)} pairs of {num_distinct(subjects.values())} subjects, {left_out.total()} left out")
    proposals = propose(encoders, config.calibration)
    judge = config.stages.judge
    if config.calibration.judge == "proposed":
        judge = judge.model_copy(update=dict(found(proposals)))

    shown = choose_shown(pairs)
    bench = Bench(config, shared, [pair.pair_id for pair in shown], storage, progress)
    chosen = config
    before = bench.measure(config, "own")
    sweeps = []
    for number, knob in enumerate(KNOBS):
        if not (values := getattr(config.calibration.sweeps, knob.name)):
            continue
        results = {}
        for value, trial in trials_of(knob, chosen, values).items():
            results[value] = bench.measure(trial, f"{number}-{knob.name}={'own' if value is None else value}")
        sweep = judge_sweep(knob, chosen, pairs, subjects, results, judge)
        sweeps.append(sweep)
        for group, choice in sweep.choices.items():
            say(
                f"{knob.label}, {group}: {choice.own:g} -> {choice.value:g}, accepted "
                f"{choice.figures[choice.own].accepted.value:.0%} -> {choice.figures[choice.value].accepted.value:.0%}"
            )
        if sweep.choices:
            chosen = knob.turned(chosen, sweep.chosen())
        bench.forget_drafts(chosen)
    after = bench.measure(chosen, "chosen")

    images = {pair.subject_id: thumbnail(decode(present(shared.subjects[pair.subject_id].image)))[0] for pair in shown}
    calibration = Calibration(run, pairs, subjects, left_out, images, proposals, judge, sweeps, before, after)
    storage.put(OVERLAY, calibration.overlay().encode())
    storage.put(FIGURES, calibration.figures())
    storage.put(REPORT, render_page(calibration).encode())
    return calibration


def _shared(
    config: CalibrationConfig, plan: Plan, storage: Storage, say: Callable[[str], None], progress: Progress
) -> tuple[Shard, EncoderScores]:
    """What all settings share, as an earlier start left it or made now."""
    if storage.exists(SHARED):
        say("resuming: subjects and views are there")
        shard = shard_from_bytes(0, storage.map(SHARED, MAX_SHARED_BYTES), storage.path_for(SHARED))
        if not isinstance(shard, Shard):
            raise DamagedFile(f"{storage.path_for(SHARED)}: damaged: pictures in the place of pairs")
        return shard, read(storage, ENCODERS, EncoderScores)
    shard, encoders = prepare(config, draw_sample(plan, config.calibration.num_pairs), progress)
    data = shard_to_bytes(shard)
    if len(data) > MAX_SHARED_BYTES:  # a bank's pictures are as large as its files
        raise RunError(
            f"calibration.num_pairs={config.calibration.num_pairs}: what all settings share has {len(data)} bytes, "
            f"allowed are {MAX_SHARED_BYTES}: take fewer"
        )
    write(storage, ENCODERS, encoders)
    storage.put(SHARED, data)
    return shard, encoders

"""The stages on the nano profile: what each one fills, what it leaves alone, and what failures do."""

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from actors.chain import STAGE_CLASSES, StageChain, stages_of
from actors.guard import NoGuard
from actors.shard import Shard
from actors.stage import Stage
from actors.stages.refine import Refine
from actors.stages.segment import is_part
from actors.write import count
from tests.conftest import QUICK
from toffee_pipeline.errors import ConfigError, SampleError
from toffee_pipeline.images import decode, decode_mask, encode, encode_mask, encode_png
from toffee_pipeline.models.scores import ClipScorer
from toffee_pipeline.nano import world
from toffee_pipeline.nano.renderer import drafted, scene
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.inputs import new_plan
from toffee_pipeline.rundir.prompt_bank import write_prompt_bank

pytestmark = pytest.mark.slow

COUNT = 16


def chain(config, names=None, progress=lambda *figures: None):
    return StageChain(config, [STAGE_CLASSES[name] for name in names or stages_of(config)], progress, NoGuard())


@pytest.fixture(scope="module")
def finished():
    """One shard of the nano world through every stage, with a filter that lets all pairs pass."""
    from toffee_pipeline.config.load import load_config

    config = load_config(
        "nano",
        (
            "placement=inline",
            "subjects.source=renderer",
            f"pairs.count={COUNT}",
            "pairs.edit_fraction=0.5",
            "pairs.edit_categories={style: 1, background: 1, color: 1, addition: 2, removal: 2}",
            "subjects_per_shard=4",
            "stages.refine.sampling.num_inference_steps=8",
            "stages.judge.min_dino=-1",
            "stages.judge.min_clip=-1",
            "stages.judge.min_clip_gain=null",
            "stages.judge.max_dino=null",
            "stages.judge.min_hash_distance=null",
            "stages.judge.min_change=null",
            "stages.synthesize.min_hash_distance=null",
            "renderer_plays=[subject, mask, depth, draft, view]",  # then the truth of a draft's scene is known
        ),
    )
    return config, chain(config)(Shard.from_plan(Plan(config), 0))


def test_every_pair_has_its_images_and_scores(finished):
    _, shard = finished
    assert len(shard.pairs) == COUNT
    for state in shard.pairs:
        assert state.status == "accepted"
        assert decode(state.input).shape == decode(state.target).shape == decode(state.draft).shape == (64, 64, 3)
        of_kind = {"clip_gain", "change"} if state.pair.kind == "edit" else {"hash_distance"}
        assert state.scores.keys() == {"dino", "clip"} | of_kind
        assert all(-1 <= state.scores[name] <= 1 for name in ("dino", "clip"))
        assert 0 < state.scores.get("hash_distance", 1) <= 64 and 0 < state.scores.get("change", 1) <= 255


def test_edit_pairs_start_from_the_subject_and_keep_it_outside_the_mask(finished):
    _, shard = finished
    edits = [state for state in shard.pairs if state.pair.kind == "edit" and state.pair.reversed_from is None]
    assert len({state.pair.category for state in edits}) >= 3
    for state in edits:
        subject, target = decode(shard.subject_of(state).image), decode(state.target)
        mask = decode_mask(state.edit_mask)
        np.testing.assert_array_equal(decode(state.input), subject)
        np.testing.assert_array_equal(target[~mask], subject[~mask])
        assert np.abs(target[mask].astype(int) - subject[mask]).mean() > 0.5  # a hat is small
        covered = decode_mask(shard.subject_of(state).mask)
        around = state.pair.category in ("background", "addition")
        assert not (mask & covered).any() if around else (mask | ~covered).all()


def test_a_removal_is_its_addition_turned_round(finished):
    _, shard = finished
    by_id = {state.id: state for state in shard.pairs}
    removals = [state for state in shard.pairs if state.pair.reversed_from]
    assert removals
    for state in removals:
        added = by_id[state.pair.reversed_from]
        assert (state.input, state.target, state.edit_mask) == (added.target, added.input, added.edit_mask)
        assert state.target == shard.subject_of(state).image
        assert set(state.stage_s) == {"score"}  # all that it costs
        assert state.scores["dino"] == pytest.approx(added.scores["dino"], abs=1e-5)


def test_a_removal_is_worth_no_more_than_its_addition(finished):
    """What its addition did not show cannot be removed; and where that failed there is nothing."""
    config, shard = finished
    for outcome, status, reason in (("rejected", "rejected", "not_added"), ("failed", "failed", None)):
        again = copy.deepcopy(shard)
        removal = next(state for state in again.pairs if state.pair.reversed_from)
        for state in again.pairs:
            state.status, state.reason = "ok", None
        added = next(state for state in again.pairs if state.id == removal.pair.reversed_from)
        added.status, added.reason, added.error = outcome, "low_clip", "it is all black"
        chain(config, ["judge"])(again)
        assert (removal.status, removal.reason) == (status, reason)
        assert (removal.error or "").endswith("failed: it is all black") == (outcome == "failed")


def test_an_addition_that_is_rejected_on_its_way_takes_its_removal_along(finished):
    config, shard = finished
    again = copy.deepcopy(shard)
    removal = next(state for state in again.pairs if state.pair.reversed_from)
    added = next(state for state in again.pairs if state.id == removal.pair.reversed_from)
    added.target, removal.status = None, "ok"
    added.fail("draft: the model's image is flat", "flat_image")
    chain(config, ["edit", "score", "judge"])(again)
    assert (removal.status, removal.reason, removal.error) == ("rejected", "not_added", None)


def test_a_target_that_is_the_input_again_is_rejected_and_a_good_one_is_not(finished, nano):
    """By the bounds of the profile."""
    _, shard = finished
    config = nano("stages.judge.min_dino=null", "stages.judge.min_clip=null", "stages.judge.min_clip_gain=null")
    good = copy.deepcopy(shard)
    good.pairs = [state for state in good.pairs if state.pair.reversed_from is None]
    for state in good.pairs:
        state.status = "ok"
    copied, by_pixels = copy.deepcopy(good), config.with_stage("judge", max_dino=None)
    for number, state in enumerate(copied.pairs):
        recompressed = encode_png(decode(encode(decode(state.input), "jpeg", 90)))
        state.target = state.input if number % 2 else recompressed
    chain(config, ["score"])(copied)
    for judged, reason in ((config, "high_dino"), (by_pixels, "copied")):
        for state in chain(judged, ["judge"])(copy.deepcopy(copied)).pairs:
            assert state.reason == (reason if state.pair.kind == "generation" else "unchanged")
    for state in chain(config, ["judge"])(good).pairs:
        assert state.status == "accepted", (state.pair, state.reason, state.scores)


def test_of_two_subjects_that_look_alike_the_later_one_is_rejected_with_its_pairs(nano, tmp_path):
    for number, quality in enumerate((95, 60)):
        (tmp_path / f"{number}.jpg").write_bytes(encode(picture_of("teapot"), "jpeg", quality))
    (tmp_path / "2.jpg").write_bytes(encode(picture_of("mushroom"), "jpeg"))
    settings = ("subjects.source=folder", f"subjects.path={tmp_path}", "pairs.count=6", "pairs.per_subject=2")
    config = nano(*settings, "subjects_per_shard=3")
    shard = chain(config, ["synthesize"])(Shard.from_plan(Plan(config), 0))
    assert [state.reason for state in shard.pairs] == [None] * 2 + ["duplicate_subject"] * 2 + [None] * 2
    assert shard.pairs[2].status == "rejected" and shard.pairs[2].error == "it looks like subject s00000000"
    anything = nano(*settings, "subjects_per_shard=3", "stages.synthesize.min_hash_distance=null")
    assert len(chain(anything, ["synthesize"])(Shard.from_plan(Plan(anything), 0)).open_pairs()) == 6


def picture_of(class_name):
    return world.render(world.make_toy(class_name, 0), world.View(0.4, 0.2), "on a beach", "photo", 64, 0).rgb


def test_what_is_repainted_is_the_part_that_is_removed(nano):
    weights = "pairs.edit_categories={style: 0, background: 0, color: 0, texture: 0, addition: 0, removal: 1}"
    config = nano("pairs.removal=repaint", "pairs.edit_fraction=1", "pairs.per_subject=1", weights, *QUICK)
    shard = chain(config, ["synthesize", "segment"])(Shard.from_plan(Plan(config), 0))
    assert shard.open_pairs()
    for state in shard.open_pairs():
        subject = shard.subject_of(state)
        region, covered = decode_mask(state.edit_mask), decode_mask(subject.mask)
        whole = scene(subject.subject)
        without = replace(whole, subject=world.without_part(whole.subject)).render(64)
        assert 0 < region.sum() < covered.sum()
        assert region[covered & (whole.render(64).rgb != without.rgb).any(-1)].all()


def test_a_row_of_a_bank_says_where_its_edit_is_made(nano, tmp_path):
    rows = [{"category": "addition", "change": "a rainbow behind it", "edit_region": "background"}]
    rows += [{"category": "texture", "change": "made of fog", "edit_region": "everywhere"}]
    told = {"source": "hand-written", "license": "CC0-1.0"}
    bank = str(tmp_path / "bank.jsonl")
    write_prompt_bank(bank, [PromptRow.model_validate(row | told) for row in rows])
    weights = "pairs.edit_categories={style: 0, background: 0, color: 0, texture: 1, addition: 1, removal: 0}"
    played = ("subjects.source=renderer", "renderer_plays=[subject, mask]", "pairs.count=64", "subjects_per_shard=16")
    config = nano("pairs.edit_fraction=1", f"pairs.prompt_bank={bank}", weights, *played)
    shard = chain(config, ["synthesize", "segment"])(Shard.from_plan(new_plan(config), 0))
    found = {state.pair.change: state for state in shard.open_pairs()}
    behind, foggy = found["a rainbow behind it"], found["made of fog"]
    covered = decode_mask(shard.subject_of(behind).mask)
    np.testing.assert_array_equal(decode_mask(behind.edit_mask), ~covered)
    assert decode_mask(foggy.edit_mask).all()


def test_an_edit_that_takes_nothing_from_the_subject_keeps_its_draft(nano):
    weights = "pairs.edit_categories={style: 0, background: 1, color: 1, texture: 0, addition: 1, removal: 0}"
    played = "renderer_plays=[subject, mask, depth, draft, view]"
    config = nano("pairs.edit_fraction=1", weights, played, "stages.refine.a_by_category={color: 0}")
    rows = Counter()
    shard = chain(
        config, ["synthesize", "segment", "depth", "draft", "edit"], lambda stage, n, _: rows.update({stage: n})
    )(Shard.from_plan(Plan(config), 0))
    assert {state.pair.category for state in shard.pairs} == {"background", "color", "addition"}
    for state in shard.pairs:
        subject, mask = decode(shard.subject_of(state).image), decode_mask(state.edit_mask)
        expected = np.where(mask[..., None], decode(state.draft), subject)
        np.testing.assert_array_equal(decode(state.target), expected)
    assert rows["edit"] == len(shard.subjects)  # their tokens alone


def test_a_part_lies_on_the_subject_and_is_not_the_whole():
    subject = np.zeros((8, 8), bool)
    subject[2:6, 2:6] = True
    corner, beside, whole = (np.zeros((8, 8), bool) for _ in range(3))
    corner[4:7, 4:6] = beside[6:8, 4:8] = whole[1:7, 1:7] = True
    assert is_part(corner, subject) and not is_part(beside, subject) and not is_part(whole, subject)


def test_generation_pairs_show_the_subject_from_another_view(finished):
    _, shard = finished
    for state in shard.pairs:
        if state.pair.kind == "generation":
            assert (decode(state.input) != decode(shard.subject_of(state).image)).any()
            assert state.edit_mask is None


def gains(shard):
    """How much nearer than the draft each background pair's target is to the truth: the subject itself, rendered into
    the draft's scene. Inside the mask; 1 is perfect, 0 no nearer. First of the pixels, then of the mean colour."""
    pixels, colors = [], []
    for state in shard.pairs:
        if state.pair.category == "background" and state.pair.kind == "generation":
            subject = shard.subject_of(state)
            mask = decode_mask(subject.mask)
            truth = replace(drafted(state.pair, subject.subject), subject=scene(subject.subject).subject).render(64).rgb
            want, draft, target = (
                image[mask].astype(float) for image in (truth, decode(state.draft), decode(state.target))
            )
            pixels.append(1 - np.abs(target - want).mean() / np.abs(draft - want).mean())
            colors.append(1 - np.abs((target - want).mean(0)).mean() / np.abs((draft - want).mean(0)).mean())
    assert len(pixels) >= 5
    return np.array(pixels), np.array(colors)


def test_the_refiner_brings_the_subjects_look_back(finished):
    """The point of the method; with a = 0, so without the subject's tokens, nothing comes back."""
    config, shard = finished
    pixels, colors = gains(shard)
    assert np.mean(pixels) > 0.2
    assert np.mean(pixels > 0) > 0.9
    assert np.mean(colors) > 0.3
    control = copy.deepcopy(shard)
    drawn = [state for state in control.pairs if state.pair.kind == "generation"]
    control.pairs = [state for state in drawn if state.pair.category == "background"]
    for state in control.pairs:
        state.status, state.target = "ok", None
    chain(config.with_stage("refine", a=0.0), ["refine"])(control)
    assert np.mean(gains(control)[0]) < 0.05


def test_the_refiners_noise_is_not_that_of_the_draft(finished):
    _, shard = finished
    assert len({*Refine.seeds(shard.pairs), *(state.pair.seed for state in shard.pairs)}) == 2 * COUNT


def test_outside_its_subject_the_target_is_the_draft(finished):
    """Exactly, where the mix is kept to the subject; the paper's mix, everywhere, repaints the background too."""
    config, shard = finished
    assert config.stages.refine.region == "subject"
    drawn = [state for state in shard.pairs if state.pair.kind == "generation"]
    assert not any(background_change(shard, state).any() for state in drawn)
    control = copy.deepcopy(shard)
    control.pairs = [state for state in control.pairs if state.pair.kind == "generation"]
    for state in control.pairs:
        state.status, state.target = "ok", None
    chain(config.with_stage("refine", region="everywhere"), ["refine"])(control)
    assert all(background_change(control, state).any() for state in control.pairs)


def background_change(shard, state):
    """Grey levels between target and draft outside the draft's subject."""
    own = state.bool_draft_mask()
    outside = ~(decode_mask(shard.subject_of(state).mask) if own is None else own)
    return np.abs(decode(state.draft).astype(int) - decode(state.target))[outside]


def test_subjects_are_computed_once_and_rejected_pairs_cost_nothing(nano):
    too_large = "stages.segment.max_fraction=0.01"  # every mask is
    config = nano("pairs.count=8", "subjects_per_shard=2", too_large, *QUICK)
    rows = Counter()
    shard = chain(config, progress=lambda stage, n, _: rows.update({stage: n}))(Shard.from_plan(Plan(config), 0))
    edits = sum(state.pair.kind == "edit" for state in shard.pairs)
    assert edits > 0
    assert {state.reason for state in shard.pairs if state.pair.kind == "edit"} == {"mask_too_large"}
    assert rows["synthesize"] == rows["segment"] == rows["depth"] == 2
    assert rows["draft"] == 8 - edits  # of the pairs that are left
    assert rows["refine"] == 2 + 8 - edits  # tokens per subject, targets
    assert rows["edit"] == 0
    assert rows["view"] == rows["score"] == 8 - edits
    for state in shard.pairs:
        assert set(state.stage_s) == (set() if state.pair.kind == "edit" else {"draft", "refine", "view", "score"})


class DrawsAllButOne(Stage):
    name = "synthesize"

    def process(self, shard: Shard) -> None:
        def draw(batch):
            return [SampleError("it is all black") if state.id == "s00000001" else b"an image" for state in batch]

        self.run(shard.open_subjects(), draw, lambda state, image: setattr(state, "image", image))


def test_one_bad_subject_fails_its_pairs_and_nobody_elses(nano):
    config = nano("pairs.count=12", "subjects_per_shard=3")
    shard = StageChain(config, [DrawsAllButOne], lambda *_: None, NoGuard())(Shard.from_plan(Plan(config), 0))
    assert [state.status for state in shard.pairs] == ["ok"] * 4 + ["failed"] * 4 + ["ok"] * 4
    assert shard.pairs[4].error == "synthesize: it is all black"
    assert [state.image for state in shard.subjects.values()] == [b"an image", None, b"an image"]


def test_pairs_of_an_unreadable_file_are_rejected_with_its_message(nano, tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "1.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    (tmp_path / "2.png").write_bytes(encode_png(picture_of("teapot")))
    source = ("subjects.source=folder", f"subjects.path={tmp_path}")
    config = nano(*source, "pairs.count=3", "pairs.per_subject=1", "subjects_per_shard=3")
    shard = chain(config, ["synthesize"])(Shard.from_plan(Plan(config), 0))
    assert [(state.status, state.reason) for state in shard.pairs] == [("rejected", "unreadable")] * 2 + [("ok", None)]
    assert shard.pairs[0].error.startswith(f"synthesize: {tmp_path / '0.png'}: not an image")
    assert shard.pairs[1].error == f"synthesize: {tmp_path / '1.png'}: one colour all over"


def test_a_broken_assumption_crashes_the_stage(nano):
    shard = Shard.from_plan(Plan(nano()), 0)
    with pytest.raises(RuntimeError, match="before the one that fills"):
        chain(nano(), ["score"])(shard)


def test_a_neighbour_changes_nothing(finished):
    """The same pair in a shard with another neighbour: the same image, to the last bit."""
    config, shard = finished
    alone = Shard.from_plan(Plan(config), 0)
    keep = alone.pairs[:4]
    alone.subjects = {keep[0].pair.subject_id: alone.subjects[keep[0].pair.subject_id]}
    alone.pairs = [replace(state) for state in keep]
    chain(config)(alone)
    for state, other in zip(alone.pairs, shard.pairs[:4], strict=True):
        assert (state.input, state.draft, state.target) == (other.input, other.draft, other.target)
        assert state.scores == other.scores


def test_counts_add_up(finished, nano):
    config, shard = finished
    counts = count(shard, config, num_bytes=0)
    assert counts.planned == counts.accepted + sum(counts.rejected.values()) + counts.failed == COUNT
    for groups in (counts.by_kind, counts.by_category, counts.by_class):
        assert sum(group["planned"] for group in groups.values()) == COUNT
        assert sum(group.get("accepted", 0) for group in groups.values()) == counts.accepted
    assert set(counts.by_class) == {subject.subject.class_name for subject in shard.subjects.values()}
    assert all(figures.seconds > 0 for figures in counts.stages.values())


def test_judging_needs_scores_alone(nano):
    config = nano("stages.judge.min_dino=0.5", "stages.judge.max_dino=0.9", "stages.judge.min_clip=null")
    shard = Shard.from_plan(Plan(config), 0)
    assert [state.pair.kind for state in shard.pairs[:3]] == ["generation", "generation", "edit"]
    for state, dino in zip(shard.pairs, (0.4, 0.95, 0.95), strict=False):
        state.scores = {"dino": dino, "clip": -1.0}
    shard.pairs[3].fail("draft: black")
    for state in shard.pairs[4:]:
        state.scores = {"dino": 0.9, "clip": -1.0}
    chain(config, ["judge"])(shard)
    assert [state.reason for state in shard.pairs[:3]] == ["low_dino", "high_dino", None]
    assert {state.status for state in shard.pairs[4:]} == {"accepted"}
    assert shard.pairs[3].status == "failed"
    assert all(state.stage_s == {} for state in shard.pairs)


def test_a_score_that_is_off_leaves_its_column_empty_and_one_that_is_on_judges(nano, tmp_path):
    head = tmp_path / "head.safetensors"
    width = ClipScorer(nano().models.clip, torch.device("cpu")).model.visual.output_dim
    save_file({"weight": torch.zeros(1, width), "bias": torch.tensor([4.5])}, head)
    on = (f"models.aesthetic.path={head}", "stages.judge.min_aesthetic=5", "stages.judge.min_dino=null")
    off = ("max_dino", "min_hash_distance", "min_change", "min_clip", "min_clip_gain")
    config = nano(*on, *(f"stages.judge.{bound}=null" for bound in off))
    shard = Shard.from_plan(Plan(config), 0)
    for state in shard.pairs:
        state.input = state.target = encode_png(np.full((64, 64, 3), 90, np.uint8))
        state.edit_mask = encode_mask(np.ones((64, 64), bool)) if state.pair.kind == "edit" else None
    other = copy.deepcopy(shard)
    chain(config, ["score", "judge"])(shard)
    assert {state.scores["aesthetic"] for state in shard.pairs} == {4.5}
    assert {state.reason for state in shard.pairs} == {"low_aesthetic"}
    chain(nano(), ["score"])(other)
    assert all(
        state.scores.keys() - {"clip_gain", "change", "hash_distance"} == {"dino", "clip"} for state in other.pairs
    )
    with pytest.raises(ConfigError, match="min_aesthetic needs models.aesthetic"):
        nano("stages.judge.min_aesthetic=5")

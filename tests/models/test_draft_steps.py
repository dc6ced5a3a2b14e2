"""Which steps drafts take, as a warm-up must know them."""

import pytest

from toffee_pipeline.models.draft_steps import Step, kinds_of_steps, plan_steps


def test_guidance_and_controlnet_run_in_their_part_of_the_steps(nano):
    settings = nano().stages.draft.model_copy(update={"guidance_interval": (0.25, 0.75), "control_guidance_end": 0.5})
    guided, controlled = zip(*plan_steps(settings, 4, guides=True), strict=True)
    assert guided == (False, True, True, False)
    assert controlled == (True, True, False, False)
    assert not any(step.guided for step in plan_steps(settings, 4, guides=False))
    assert all(step.guided for step in plan_steps(settings, 4, guides=True, moves=True))


@pytest.mark.parametrize(("own", "expected"), [(1.5, {True}), (1.0, {True, False})])
def test_an_edit_that_is_not_guided_under_the_subject_s_prompt_takes_steps_of_another_shape(nano, own, expected):
    always = "stages.draft.guidance_interval=[0, 1]"
    settings = nano(always, f"stages.draft.edit_source_guidance_scale={{color: {own}}}").stages.draft
    assert settings.start_of("color")[1] == own
    assert {step.guided for step in kinds_of_steps(settings, knows_guidance=False)} == expected
    assert kinds_of_steps(settings, knows_guidance=True) == {Step(guided=False, controlled=True)}

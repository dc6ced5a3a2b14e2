"""Errors of a sweep are over subjects, however often the plan visits one."""

from toffee_pipeline.calibration.choose import gain_of
from toffee_pipeline.calibration.results import PairResult
from toffee_pipeline.calibration.sweep import outcomes_of
from toffee_pipeline.plan.folder import FolderImage
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.subjects import FolderSubjects


def test_visits_of_one_photograph_are_no_independent_witnesses(nano):
    """Four photographs, gone through ten times: of one of them a setting saves every pair."""
    config = nano("subjects.source=folder", "subjects.path=/photos", "pairs.count=160", "pairs.edit_fraction=0")
    names = [f"{number}.jpg" for number in range(4)]
    plan = Plan(config, FolderSubjects([FolderImage(name, "mug", 1, 1) for name in names]))
    visits = [plan.subject(number) for number in range(40)]
    pairs = [pair for number, subject in enumerate(visits) for pair in plan.pairs(number, subject)]
    subjects = {subject.subject_id: subject for subject in visits}
    assert len(pairs) == 160 and len(subjects) == 40

    def outcomes(saved):
        clip = {pair.pair_id: 0.9 if subjects[pair.subject_id].path in saved else 0.0 for pair in pairs}
        results = {
            name: PairResult(name, "", None, {"dino": 0.5, "clip": score}, None, None) for name, score in clip.items()
        }
        judge = config.stages.judge.model_copy(update={"min_dino": None, "min_clip": 0.5, "min_clip_gain": None})
        return outcomes_of(pairs, subjects, results, judge)

    gain = gain_of(outcomes(()), outcomes(names[:1]))
    assert gain.value == 0.25 and gain.error > 0.2  # over 40 visits it would be 0.07

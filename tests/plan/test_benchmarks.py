"""Benchmarks as data."""

import pytest

from tests.helpers.dreambench import PROMPTS, write_dreambench, write_dreambench_plus
from toffee_pipeline.errors import PlanError
from toffee_pipeline.nano import world
from toffee_pipeline.plan.benchmark import Benchmark
from toffee_pipeline.plan.benchmarks import load_benchmark
from toffee_pipeline.plan.benchmarks.dreambench import parse_classes, parse_prompts


def test_dreambench_has_two_lists_of_25_prompts_that_share_the_first_ten_and_the_last_five():
    prompts = parse_prompts(PROMPTS, "list")
    objects, live = (prompts[group] for group in ("object", "live"))
    assert len(objects) == len(live) == 25
    assert objects[:10] == live[:10] and objects[20:] == live[20:]
    assert all(a.text != b.text for a, b in zip(objects[10:20], live[10:20], strict=True))
    assert [prompt.category for prompt in live[9:21:10]] == ["recontextualization", "accessorization"]
    assert {prompt.category for prompt in objects[20:]} == {"property"}


def test_dreambench_names_the_class_and_no_rare_token(tmp_path):
    benchmark = load_benchmark(
        "dreambench", write_dreambench(tmp_path, {"dog6": "dog", "bear_plushie": "stuffed animal"})
    )
    bear, dog = benchmark.subjects
    assert bear.prompts[0].text == "a stuffed animal in the jungle" and bear.prompts[20].text == "a red stuffed animal"
    assert dog.prompts[10].text == "a dog wearing a red hat"
    assert (bear.group, dog.group) == ("object", "live")
    assert [image.name for image in dog.images] == ["dog6/00.jpg", "dog6/01.jpg", "dog6/02.jpg"]
    assert Benchmark.from_bytes(benchmark.to_bytes(), "list") == benchmark


def test_another_picture_is_another_benchmark(tmp_path):
    root = write_dreambench(tmp_path, {"can": "can"})
    before = load_benchmark("dreambench", root).digest
    assert load_benchmark("dreambench", root / "dataset").digest == before
    (root / "dataset/can/00.jpg").write_bytes(b"another")
    assert load_benchmark("dreambench", root).digest != before


def test_a_list_that_is_cut_and_a_subject_without_pictures_are_named(tmp_path):
    last = PROMPTS.rindex("'a wet")
    with pytest.raises(PlanError, match="25 prompts are expected under 'Live Subject Prompts', not 24"):
        parse_prompts(PROMPTS[:last] + PROMPTS[PROMPTS.index("\n", last) + 1 :], "list")
    with pytest.raises(PlanError, match="SUBJECT,CLASS"):
        parse_classes("Classes\n", "list")
    root = write_dreambench(tmp_path, {"can": "can"})
    for file in (root / "dataset/can").iterdir():
        file.unlink()
    with pytest.raises(PlanError, match="dataset/can: no image"):
        load_benchmark("dreambench", root)


@pytest.mark.parametrize("place", ["{1:>3000000000}", "{1.__class__.__mro__}", "{7}", "{foo}", "{", "{{0}}", "{1!r}"])
def test_a_prompt_of_dreambench_is_no_format_string(place, tmp_path):
    root = write_dreambench(tmp_path, {"can": "can"})
    path = root / "dataset/prompts_and_classes.txt"
    path.write_text(path.read_text().replace("a {0} {1} in the jungle", f"a {{0}} {place} in the jungle"))
    with pytest.raises(PlanError, match=r"txt: .* in the jungle': allowed in braces are \{0\} and \{1\}$"):
        load_benchmark("dreambench", root)


def test_braces_of_a_class_are_text(tmp_path):
    subject = load_benchmark("dreambench", write_dreambench(tmp_path, {"can": "{1} {0.x}"})).subjects[0]
    assert subject.prompts[0].text == "a {1} {0.x} in the jungle"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"/etc,can", "'/etc' leads out of its folder"),
        (b"can/../..,can", "'can/../..' leads out of its folder"),
        (b"\x00,can", r"'\\x00' is no name of a folder"),
        (b"\xff,can", "not UTF-8"),
        (b"can," + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_broken_list_of_subjects_is_one_line(row, problem, tmp_path):
    root = write_dreambench(tmp_path, {"can": "can"})
    path = root / "dataset/prompts_and_classes.txt"
    path.write_bytes(path.read_bytes().replace(b"can,can", row))
    with pytest.raises(PlanError, match=f"prompts_and_classes.txt: {problem}") as caught:
        load_benchmark("dreambench", root)
    assert "\n" not in str(caught.value)


def test_prompts_of_dreambench_plus_that_are_not_utf_8_are_one_line(tmp_path):
    root = write_dreambench_plus(tmp_path)
    (root / "captions/object/03.txt").write_bytes(b"\xff\n")
    with pytest.raises(PlanError, match="captions/object/03.txt: not UTF-8$"):
        load_benchmark("dreambench++", root)


def test_dreambench_plus_has_one_picture_and_nine_prompts_of_a_subject(tmp_path):
    benchmark = load_benchmark("dreambench++", write_dreambench_plus(tmp_path))
    kitten, vase = benchmark.subjects
    assert (kitten.subject_id, kitten.group) == ("live_subject_animal_00_kitten", "animal")
    assert (vase.subject_id, vase.class_name) == ("object_03_blue_vase", "Blue vase")
    assert [image.name for image in vase.images] == ["images/object/03.jpg"]
    assert [prompt.category for prompt in vase.prompts] == (
        ["photorealistic"] * 4 + ["style_transfer"] * 3 + ["imaginative"] * 2
    )


def test_nano_dreambench_is_30_subjects_by_25_prompts_that_ask_for_what_is_not_there_yet():
    benchmark = load_benchmark("nano", None)
    assert len(benchmark.subjects) == 30 == len({subject.seed for subject in benchmark.subjects})
    assert {subject.class_name for subject in benchmark.subjects} == set(world.CLASS_NAMES)
    for subject in benchmark.subjects:
        assert len({prompt.text for prompt in subject.prompts}) == 25
        assert subject.seed > 10**9  # training subjects count up from a million
        asked = [prompt.text for prompt in subject.prompts if prompt.category in ("color", "texture")]
        assert not {word for text in asked for word in text.split()} & (
            set(subject.description.split()) & {*world.COLORS, *world.PATTERNS}
        )


def test_a_part_of_a_benchmark_keeps_its_order():
    part = load_benchmark("nano", None).limited(2, 3)
    whole = load_benchmark("nano", None)
    assert [each.subject_id for each in part.subjects] == [each.subject_id for each in whole.subjects[:2]]
    assert part.subjects[1].prompts == whole.subjects[1].prompts[:3]

"""Prompt banks in a plan, and the bank of the package."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.models.prompts import longest_prompt
from toffee_pipeline.models.tokenizers import clip_tokenizer
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.prompt_bank import PromptBank, is_benchmark_row, is_english_row
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.inputs import claim_dataset, new_plan
from toffee_pipeline.rundir.prompt_bank import read_prompt_bank, write_prompt_bank
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow

TOFFEE = list(read_prompt_bank("toffee"))


def row(category: str, change: str, **keys: object) -> PromptRow:
    return PromptRow.model_validate(
        {"category": category, "change": change, "source": "hand-written", "license": "CC0-1.0"} | keys
    )


def plan(bank: Path | str | None, *overrides: str, profile: str = "nano") -> Plan:
    named = () if bank is None else (f"pairs.prompt_bank={bank}",)
    made = new_plan(load_config(profile, (*named, *overrides)))
    assert isinstance(made, Plan)
    return made


def pairs_of(made: Plan) -> list[Pair]:
    return [pair for index in range(len(made)) for pair in made.shard(index)[1]]


@pytest.fixture
def bank(tmp_path: Path):
    def write(rows: Iterable[PromptRow], name: str = "bank.jsonl") -> str:
        write_prompt_bank(str(tmp_path / name), rows)
        return str(tmp_path / name)

    return write


def test_the_packaged_bank_has_hundreds_of_rows_of_each_category() -> None:
    assert min(Counter(each.category for each in TOFFEE)[category] for category in CATEGORIES) >= 300
    assert {(each.source, each.license) for each in TOFFEE} == {("hand-written", "Apache-2.0")}
    assert len({(each.category, each.change) for each in TOFFEE}) == len(TOFFEE)


def test_what_plans_do_not_look_for_in_the_packaged_bank_is_not_there() -> None:
    assert not [each.change for each in TOFFEE if is_benchmark_row(each) or not is_english_row(each)]
    assert PromptBank(TOFFEE).digest == PromptBank(TOFFEE, checked=True).digest


def test_the_packaged_bank_goes_with_the_catalogue_of_its_name() -> None:
    catalog = load_catalog("toffee")
    classes = {entry.name for entry in catalog.classes}
    for each in TOFFEE:
        if each.applies_to not in ("any", "live", "object"):
            assert set(each.applies_to) <= classes, each
        natures = ("live", "object") if each.category != "removal" else ()
        assert not any(each.change in catalog.changes[nature][each.category] for nature in natures), each


def test_prompts_of_the_packaged_bank_fit_the_text_encoder() -> None:
    made = plan(None, profile="sdxl")
    assert made.config.pairs.prompt_bank == "toffee"
    assert (made.notes, len(made.catalog.bank)) == ((), len(TOFFEE))
    prompt, count = longest_prompt(made.catalog, clip_tokenizer())
    assert 30 < count <= 77, prompt


def test_changes_of_catalogue_and_bank_are_drawn_alike(bank) -> None:
    """Each that suits a class as often as any other, whoever wrote it."""
    rows = [row("background", f"on quay number {number}") for number in range(20)]
    made = plan(bank(rows), "pairs.count=8000", "pairs.edit_fraction=0", "pairs.generation_categories={background: 1}")
    own = made.catalog.changes["object"]["background"]
    drawn = Counter(pair.change for pair in pairs_of(made))
    assert drawn.keys() == {*own, *(each.change for each in rows)}
    for place in load_catalog("nano").entry("mug").descriptions["place"]:
        del drawn[place]  # a subject that is there already is not put there
    assert max(drawn.values()) < 1.5 * min(drawn.values())


def test_the_plan_is_a_pure_function_of_config_and_bank(bank) -> None:
    rows = [row("background", "on a quay"), row("style", "a fresco")]
    uri = bank(rows)
    first, again = plan(uri), plan(uri)
    assert first.hash == again.hash and first.shard(3) == again.shard(3)
    assert plan(bank(rows, "other.parquet")).hash == first.hash
    assert plan(bank([*rows, row("style", "a mural")])).hash != first.hash
    assert plan(None).hash != first.hash


def test_rows_apply_to_natures_and_classes(bank) -> None:
    made = plan(
        bank(
            [
                row("texture", "made of tweed"),
                row("addition", "a woolen hat", applies_to="live"),
                row("addition", "a tea cosy", applies_to=["teapot", "jar"]),
                row("addition", "a red ribbon"),
                row("removal", "a rim", applies_to=["mug", "teapot"]),
            ]
        ),
        profile="sdxl",
    )
    choices = made.catalog.choices
    assert "a woolen hat" in choices("cat", "addition") and "a woolen hat" not in choices("teapot", "addition")
    assert "a tea cosy" in choices("teapot", "addition") and "a tea cosy" not in choices("mug", "addition")
    assert choices("mug", "addition").count("a red ribbon") == 1  # the catalogue has it too
    assert choices("mug", "removal") == ("a handle", "a rim") and "a rim" not in choices("jar", "removal")
    assert all("made of tweed" in choices(name, "texture") for name in ("cat", "teapot", "my own thing"))


def test_a_row_brings_templates_and_a_region_of_its_own(bank) -> None:
    worn = {"class": "{class} wearing {change}"}
    rows = [
        row(
            "addition",
            "a fez",
            prompt="{class} wearing {change}",
            draft_prompts=[worn],
            instruction="dress in {change}",
        ),
        row("addition", "a rainbow behind it", edit_region="background"),
    ]
    made = plan(bank(rows), "pairs.edit_fraction=1", "pairs.edit_categories={addition: 1}", "pairs.count=200")
    known = made.catalog
    assert known.prompt("mug", "addition", "a fez") == "mug wearing a fez"
    assert known.instruction("mug", "addition", "a fez") == "dress in a fez"
    assert known.instruction("mug", "removal", "a fez") == "remove the fez"
    subject = "a photo of a red mug on a white table"
    assert known.draft_prompt("mug", subject, "addition", "a fez") == (
        "a photo of a red mug wearing a fez on a white table"
    )
    regions = {pair.change: (pair.edit_region, pair.region) for pair in pairs_of(made)}
    assert regions["a rainbow behind it"] == ("background", "background")
    assert regions["a fez"] == regions["a party hat"] == (None, "around")
    both = plan(
        bank(rows), "pairs.edit_fraction=1", "pairs.edit_categories={addition: 1, removal: 1}", "pairs.count=200"
    )
    turned = {pair.edit_region for pair in pairs_of(both) if pair.reversed_from and pair.change == rows[1].change}
    assert turned == {"background"}


def test_prompts_of_the_benchmark_are_left_out_unless_they_are_allowed(bank) -> None:
    uri = bank([row("background", "in the snow"), row("background", "on a quay"), row("addition", "sunglasses")])
    made = plan(uri)
    assert made.notes == (
        "pairs.prompt_bank: 2 rows of DreamBench's prompts (evaluation.allow_benchmark_prompts) are left out",
    )
    assert len(made.catalog.bank) == 1
    allowed = plan(uri, "evaluation.allow_benchmark_prompts=true")
    assert len(allowed.catalog.bank) == 3 and allowed.notes == () and allowed.hash != made.hash


def test_other_languages_are_refused_or_passed_and_counted(bank) -> None:
    uri = bank([row("background", "auf einem roten Teppich"), row("background", "on a quay")])
    refused, passed = plan(uri), plan(uri, "other_languages=pass")
    assert refused.notes == ("pairs.prompt_bank: 1 rows not in English are left out",)
    assert passed.notes == ("pairs.prompt_bank: 1 rows not in English are drawn from",)
    assert "auf einem roten Teppich" not in refused.catalog.choices("mug", "background")
    assert "auf einem roten Teppich" in passed.catalog.choices("mug", "background")
    told = bank([row("addition", "a manga panel", verdicts={"other_language": "passed"})])
    assert plan(told).notes == ()


@pytest.mark.parametrize(
    "own",
    [
        {"prompt": "ein Foto von einem {class}, der {change} trägt"},
        {"instruction": "setze ihm {change} auf den Kopf"},
        {"draft_prompts": [{"class": "{class} mit {change} auf dem Kopf"}]},
    ],
)
def test_a_row_whose_own_template_is_not_english_is_not_in_english(own, bank) -> None:
    uri = bank([row("addition", "a fez", **own), row("addition", "a tiara")])
    made = plan(uri)
    assert made.notes == ("pairs.prompt_bank: 1 rows not in English are left out",)
    assert "a fez" not in made.catalog.choices("mug", "addition")


def test_of_rows_with_one_change_the_first_is_drawn_from(bank) -> None:
    made = plan(bank([row("style", "a fresco", applies_to="live"), row("style", "a fresco")]))
    assert made.notes == ("pairs.prompt_bank: 1 rows with a change that an earlier row has are left out",)
    assert "a fresco" not in made.catalog.choices("mug", "style")


def test_a_run_goes_on_with_the_same_bank_only(bank, tmp_path: Path) -> None:
    uri = bank([row("style", "a fresco")])
    storage = open_storage(str(tmp_path / "run"))

    def claim() -> None:
        made = plan(uri)
        claim_dataset(storage, GenerationRun.of(made.config, made, {}), made)

    claim()
    claim()
    bank([row("style", "a mural")])
    with pytest.raises(RunMismatch):
        claim()

"""Where the user's keys are sent is told by the user: no file of settings says it, and none is written with it."""

import pytest

from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.rundir.description import GenerationRun, TrainingFiles, TrainingRun
from toffee_pipeline.rundir.run_file import decode

MINE, THEIRS = "http://store.mine:9000", "https://theirs.example"
SOURCES = f"data.sources=[{{format: webdataset, path: 's3://photos/a', endpoint_url: '{MINE}'}}]"
CACHE = ("data.cache=s3://photos/cache", f"data.cache_endpoint_url={MINE}")


def generation(*settings: str) -> GenerationRun:
    config = load_config("nano", settings)
    return GenerationRun.now("generate", config=config, plan_hash="0", num_rows=1, num_shards=1, roles={})


def training(*settings: str) -> TrainingRun[RefinerTraining]:
    config, data = load_config("nano", settings, RefinerTraining), TrainingFiles(num_files=1, sha256="0")
    return TrainingRun[RefinerTraining].now("train_refiner", config=config, data=data, models={})


@pytest.mark.parametrize(
    "run",
    [generation(f"output.endpoint_url={MINE}", f"pairs.endpoint_url={MINE}"), training(SOURCES, *CACHE)],
    ids=["generation", "training"],
)
def test_a_run_says_nothing_of_it_and_goes_on_under_the_same_command(run):
    assert b"endpoint_url" not in run.encode()
    known = decode(type(run), run.encode(), "run.json", "http://store.elsewhere")
    assert run.differences(known) == []


def test_a_run_that_is_read_names_places_at_the_endpoint_of_whoever_reads_it():
    made = generation(f"output.endpoint_url={MINE}").encode()
    config = decode(GenerationRun, made, "run.json", "http://store.elsewhere").config
    assert (config.output.endpoint_url, config.subjects.endpoint_url) == ("http://store.elsewhere",) * 2
    assert decode(GenerationRun, made, "run.json").config.output.endpoint_url is None


@pytest.mark.parametrize("block", ["output", "subjects", "pairs"])
def test_one_in_a_run_json_is_shown_and_refused(block, tmp_path):
    data = (
        generation().encode().replace(f'"{block}": {{'.encode(), f'"{block}": {{"endpoint_url": "{THEIRS}",'.encode())
    )
    with pytest.raises(DamagedFile, match=f"run.json: damaged: config.{block}.endpoint_url: .*{THEIRS} is refused"):
        decode(GenerationRun, data, "run.json", MINE)
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(ConfigError, match=f"config.{block}.endpoint_url: {THEIRS} is refused: .* command line"):
        load_config(str(tmp_path / "run.json"))


@pytest.mark.parametrize(
    ("config", "text", "shown"),
    [
        (RunConfig, f"output: {{endpoint_url: {THEIRS}}}", f"output.endpoint_url: {THEIRS}"),
        (
            RefinerTraining,
            f"data: {{sources: [{{endpoint_url: '{THEIRS}'}}]}}",
            f"data.sources.0.endpoint_url: {THEIRS}",
        ),
        (RefinementConfig, f"source: {{endpoint_url: {THEIRS}}}", f"source.endpoint_url: {THEIRS}"),
        (ExpansionConfig, f"http: {{url: {THEIRS}/v1}}", f"http.url: {THEIRS}/v1"),
        (ExpansionConfig, "http: {api_key_variable: AWS_SECRET_ACCESS_KEY}", "http.api_key_variable: AWS_SECRET"),
        (
            RunConfig,
            "output: {endpoint_url: 'https://me:secret@theirs.example'}",
            "output.endpoint_url: what stands here",
        ),
    ],
)
def test_one_in_a_file_of_settings_is_shown_and_refused(config, text, shown, tmp_path):
    (tmp_path / "more.yaml").write_text(text)
    with pytest.raises(ConfigError, match=shown) as caught:
        load_config(str(tmp_path / "more.yaml"), (), config)
    assert "is refused" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (RunConfig, "output.endpoint_url=https://me:secret@store"),
        (RunConfig, "output.endpoint_url=https://store/?X-Amz-Signature=secret"),
        (RunConfig, "pairs.endpoint_url=https://me:secret@store"),
        (RunConfig, "pairs.prompt_bank=s3://me:secret@bucket/words.jsonl"),
        (RunConfig, "subjects.path=https://me:secret@store/bank"),
        (RunConfig, "pass_rates=s3://bucket/run?X-Amz-Signature=secret"),
        (RefinerTraining, SOURCES.replace("store.mine", "me:secret@store")),
        (RefinerTraining, SOURCES.replace("s3://", "s3://me:secret@")),
        (RefinerTraining, "data.cache=s3://me:secret@bucket/cache"),
        (RefinerTraining, "data.cache_endpoint_url=http://me:secret@store"),
        (ExpansionConfig, "http.url=http://me:secret@store/v1"),
        (ExpansionConfig, "output.endpoint_url=http://me:secret@store"),
    ],
)
def test_no_url_of_the_settings_holds_a_password(config, setting):
    profile = "http" if config is ExpansionConfig else "nano"
    with pytest.raises(ConfigError, match="allowed (is|are) ") as caught:
        load_config(profile, (setting,), config)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_words_of_a_run_json_are_a_list_and_no_file_is_read_for_them(tmp_path):
    (tmp_path / "words.txt").write_text("mine")
    assert b'"mine"' in generation(f"stages.screen.deny={tmp_path}/words.txt").encode()
    data = generation().encode().replace(b'"deny": []', f'"deny": "{tmp_path}/words.txt"'.encode())
    with pytest.raises(DamagedFile, match="stages.screen.deny"):
        decode(GenerationRun, data, "run.json")

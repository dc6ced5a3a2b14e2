"""What holds for every setting of every job: numbers have bounds, paths are absolute."""

import math
import types
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from toffee_pipeline.config.base import make_absolute, make_uri_absolute
from toffee_pipeline.config.load import CONFIGS, load_config
from toffee_pipeline.config.train import RefinerTraining

WORDS = {
    "allow",  # phrases
    "deny",
    "unsafe_labels",
    "revision",  # of a hub id
    "sha256",
    "variant",
    "id",
    "architecture",
    "project",
    "endpoint_url",  # checked where the storage is opened
    "caption_column",
    "split",
    "class_weights",  # names of classes
    "class_quotas",
    "class_name",
    "categories",
    "input",  # columns
    "edited",
    "prompt",
    "input_prompt",
    "instruction",
    "category",
    "cache_endpoint_url",
    "url",
    "license",
    "api_key_variable",
}
"""Texts that are no path."""


def fields(model, prefix):
    """(dotted key, annotation, metadata) of each field of a model and of those below."""
    for name, field in model.model_fields.items():
        yield f"{prefix}.{name}", field.annotation, field.metadata
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{prefix}.{name}")


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from models_in(argument)


def leaves(annotation, metadata):
    """(type, metadata) of all that a value may be or hold."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from leaves(get_args(annotation)[0], [*metadata, *annotation.__metadata__])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from leaves(member, metadata)
    elif origin in (dict, tuple, list):
        for member in get_args(annotation):
            yield from leaves(member, [])
    elif isinstance(annotation, type) and not issubclass(annotation, BaseModel):
        yield annotation, metadata


ALL = {key: entry for config in CONFIGS for key, *entry in fields(config, config.job)}


def test_the_walk_meets_numbers_in_options_dicts_and_lists():
    assert {
        "generate.models.vae.dtype",
        "generate.stages.judge.min_clip",
        "train_refiner.data.sources.num_subjects",
        "train_toffeenet.models.segmenter.type",
    } <= ALL.keys()
    assert [kind for kind, _ in leaves(ALL["generate.pairs.edit_categories"][0], [])] == [float]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, -1e300])
def test_every_number_is_finite_and_has_a_lower_and_an_upper_bound(value):
    numbers = [(key, leaf) for key, (annotation, marks) in ALL.items() for leaf in leaves(annotation, marks)]
    numbers = [(key, kind, marks) for key, (kind, marks) in numbers if kind in (int, float)]
    assert len(numbers) > 100
    assert [key for key, kind, marks in numbers if accepts(kind, marks, value)] == []


def accepts(kind, marks, value):
    try:
        TypeAdapter(Annotated[(kind, *marks)] if marks else kind).validate_python(value)
    except ValidationError:
        return False
    return True


def test_every_path_is_made_absolute():
    leaf_of = [(key, leaf) for key, (annotation, marks) in ALL.items() for leaf in leaves(annotation, marks)]
    paths = [
        (key, marks)
        for key, (kind, marks) in leaf_of
        if kind is Path or (kind is str and key.rpartition(".")[2] not in WORDS)
    ]
    made = {make_absolute, make_uri_absolute}
    relative = {key for key, marks in paths if not {getattr(mark, "func", None) for mark in marks} & made}
    assert relative == {
        "generate.subjects.catalog",
        "generate.pairs.prompt_bank",
        "generate_subjects.subjects.catalog",
        "expand_prompts.catalog",
        "expand_prompts.bank",
    }  # a name, or a path: tested below


def test_a_uri_stays_and_a_local_folder_becomes_absolute():
    overrides = ("data.cache=cache", "data.sources=[{format: run, path: s3://bucket/run}, {format: run, path: runs/x}]")
    data = load_config("nano", overrides, RefinerTraining).data
    assert data.cache == str(Path.cwd() / "cache")
    assert [source.path for source in data.sources] == ["s3://bucket/run", str(Path.cwd() / "runs/x")]


def test_a_prompt_bank_is_absolute_unless_it_is_of_the_package():
    assert load_config("nano", ("pairs.prompt_bank=my.jsonl",)).pairs.prompt_bank == str(Path.cwd() / "my.jsonl")
    assert load_config("nano", ("pairs.prompt_bank=s3://b/my.jsonl",)).pairs.prompt_bank == "s3://b/my.jsonl"
    assert load_config("sdxl").pairs.prompt_bank == "toffee"


def test_a_catalog_is_absolute_unless_it_is_of_the_package():
    assert load_config("nano", ("subjects.catalog=cat.yaml",)).subjects.catalog == str(Path.cwd() / "cat.yaml")
    assert load_config("nano").subjects.catalog == "nano"

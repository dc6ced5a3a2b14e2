"""Croissant metadata of an export (format 1.0 of MLCommons): its files with checksums and, of Parquet, its columns.

Images that are files of their own are sets by pattern: a file each would be millions of entries.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from toffee_pipeline.export.formats.base import Format, media_type
from toffee_pipeline.export.parts import ExportedFile, ExportHeader, records
from toffee_pipeline.export.rows import given_columns
from toffee_pipeline.rundir.description import PairRun
from toffee_pipeline.schema.table import IMAGE
from toffee_pipeline.storage import Storage

CROISSANT = "croissant.json"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {pa.string(): "sc:Text", pa.float32(): "sc:Float", pa.int64(): "sc:Integer", pa.bool_(): "sc:Boolean"}
CITATION = (
    "@article{zhou2024toffee, title={Toffee: Efficient Million-Scale Dataset Construction for Subject-Driven "
    "Text-to-Image Generation}, journal={arXiv:2406.09305}, year={2024}}"
)


def write_croissant(target: Storage, run: PairRun, header: ExportHeader, form: Format) -> None:
    """Writes or replaces it."""
    splits, files, sets = _contents(target, header, form)
    given = " from images that were given" if given_columns(run) else ", synthetic"
    metadata = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": target.uri.rstrip("/").rpartition("/")[2],
        "description": f"Image pairs for subject-driven generation and editing, made by toffee-pipeline{given}.",
        "license": header.license,
        "version": "1.0.0",
        "datePublished": run.created.date().isoformat(),
        "citeAs": CITATION,
        "rai:dataCollection": f"Drawn by networks: {json.dumps(run.roles, sort_keys=True)}",
        "distribution": [*files, *sets],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "field": [_field(field, split) for field in form.schema],
            }
            for split in splits
            if form.schema is not None
        ],
    }
    target.put(CROISSANT, json.dumps(metadata, indent=1).encode())


def _contents(
    target: Storage, header: ExportHeader, form: Format
) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """Splits; files; and sets of files: those that records are read from, or that are too many to be named."""
    splits: set[str] = set()
    files: list[dict[str, Any]] = []
    unnamed: set[tuple[str, str]] = set()
    for part in records(target, header.num_parts):
        splits.update(part.rows)
        for file in part.files:
            suffix = file.key.rpartition(".")[2]
            if suffix in form.per_image:
                unnamed.add((file.key.partition("/")[0], suffix))
            else:
                files.append(_file(file))
    if form.schema is not None:
        sets = [_set(f"{split}-files", f"{split}/*{form.tail}", form.tail) for split in sorted(splits)]
    else:
        sets = [
            _set(f"{split}-{suffix}", f"{split}/*{form.tail}.{suffix}", suffix) for split, suffix in sorted(unnamed)
        ]
    return sorted(splits), files, sets


def _file(file: ExportedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.key,
        "name": file.key,
        "contentUrl": file.key,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": media_type(file.key),
        "sha256": file.sha256,
    }


def _set(name: str, pattern: str, suffix: str) -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": name, "encodingFormat": media_type(suffix), "includes": pattern}


def _field(field: pa.Field, split: str) -> dict[str, Any]:
    described: dict[str, Any] = {"@type": "cr:Field", "@id": f"{split}/{field.name}", "name": f"{split}/{field.name}"}
    if field.type == IMAGE:
        return {**described, "dataType": "sc:ImageObject", "source": _source(split, field.name, "bytes")}
    if not pa.types.is_struct(field.type):
        return {**described, "dataType": TYPES[field.type], "source": _source(split, field.name)}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{split}/{field.name}/{part.name}",
            "name": f"{split}/{field.name}/{part.name}",
            "dataType": TYPES[part.type],
            "source": _source(split, field.name, part.name),
        }
        for part in field.type
    ]
    return {**described, "subField": parts}


def _source(split: str, column: str, part: str | None = None) -> dict[str, Any]:
    """part: of a struct."""
    source: dict[str, Any] = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": column}}
    return source if part is None else {**source, "transform": {"jsonPath": part}}

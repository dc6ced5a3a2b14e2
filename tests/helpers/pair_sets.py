"""Sets of image pairs as people have them, in each format: the same pairs of noise."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.images import encode, encode_png
from toffee_pipeline.nano import world


def noise(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def texts(number: int) -> dict[str, str]:
    return {"prompt": f"a red cup {number}", "input_prompt": f"a cup {number}", "instruction": f"make it red {number}"}


def write_instructpix2pix(folder: Path, count: int, seeds: int = 2) -> None:
    """count: of pairs, `seeds` to a folder."""
    listed = []
    for start in range(0, count, seeds):
        name, numbers = f"{start:07d}", range(start, min(start + seeds, count))
        (folder / name).mkdir(parents=True)
        words = texts(start)
        prompt = {"input": words["input_prompt"], "output": words["prompt"], "edit": words["instruction"], "url": "u"}
        (folder / name / "prompt.json").write_text(json.dumps(prompt))
        for number in numbers:
            (folder / name / f"{number}_0.jpg").write_bytes(encode(noise(number), "jpeg"))
            (folder / name / f"{number}_1.jpg").write_bytes(encode(noise(1000 + number), "jpeg"))
        listed.append([name, [str(number) for number in numbers]])
    (folder / "seeds.json").write_text(json.dumps(listed))


def write_imagefolder(folder: Path, count: int) -> None:
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(count):
        names = [f"images/{number}.{kind}.png" for kind in ("input", "target")]
        for name, seed in zip(names, (number, 1000 + number), strict=True):
            (folder / name).write_bytes(encode_png(noise(seed)))
        row = {"input_file_name": names[0], "file_name": names[1], **texts(number), "class_name": "cup"}
        lines.append(json.dumps({**row, "category": "color"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def write_parquet(folder: Path, count: int, row_group_size: int = 4) -> None:
    """With an image as a struct, and one as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "src_img": {"bytes": encode_png(noise(number)), "path": None},
            "edited_img": encode_png(noise(1000 + number)),
            "task": "env" if number % 2 else "swap",
            "edited_prompt_list": [texts(number)["instruction"], "longer"],
            "o_score": float(number),
            "about": {"item": "cup"},
        }
        for number in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet", row_group_size=row_group_size)


def write_views(folder: Path, count: int) -> None:
    """Pairs of the small world, with the columns of `jobs/export.py`: a toy, and a view of it in another place."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        name = world.CLASS_NAMES[number % len(world.CLASS_NAMES)]
        toy, places = world.make_toy(name, number), (world.BACKGROUNDS[0], world.BACKGROUNDS[1 + number])
        views = (world.View(-0.5, 0.2), world.View(0.4, 0.15))
        images = [world.render(toy, view, place, seed=number).rgb for view, place in zip(views, places, strict=True)]
        told = [world.caption(toy, place, "photo") for place in places]
        texts = {"input_prompt": told[0], "prompt": told[1], "instruction": f"put it {places[1]}"}
        pictures = {"input_image": encode_png(images[0]), "target_image": encode_png(images[1])}
        rows.append({**pictures, **texts, "class_name": name, "category": "background"})
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")


OMNIEDIT = (
    "{input: src_img, edited: edited_img, prompt: null, input_prompt: null, instruction: edited_prompt_list, "
    "class_name: about.item, category: task}"
)


def write_tar(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number in range(count):
            add(tar, f"{number:05d}.input_image.png", encode_png(noise(number)))
            add(tar, f"{number:05d}.target_image.jpg", encode(noise(1000 + number), "jpeg"))
            add(tar, f"{number:05d}.json", json.dumps({**texts(number), "class_name": "cup"}).encode())


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


WRITERS = {
    "instructpix2pix": write_instructpix2pix,
    "imagefolder": write_imagefolder,
    "parquet": write_parquet,
    "webdataset": write_tar,
}


def source_of(form: str, path: object, more: str = "") -> str:
    """An override. more: further keys, as `, key: value`."""
    columns = f", columns: {OMNIEDIT}, categories: {{env: background}}" if form == "parquet" else ""
    return f"source={{format: {form}, path: '{path}'{columns}{more}}}"


def refinement(form: str, path: object, *overrides: str, more: str = "") -> RefinementConfig:
    sets = ("placement=inline", "subjects_per_shard=3", source_of(form, path, more), *overrides)
    return load_config("nano", sets, RefinementConfig)

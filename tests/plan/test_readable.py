"""A folder of which nothing can be read is refused before anything is loaded; one good image is enough."""

import re
import struct

import pytest
from PIL import Image

from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import PlanError
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.readable import require_readable


@pytest.fixture
def broken(tmp_path):
    """A folder of files that are broken in four ways."""
    root = tmp_path / "photos"
    (root / "dog").mkdir(parents=True)
    Image.effect_noise((90, 90), 50).save(root / "dog/cut.jpg")
    (root / "dog/cut.jpg").write_bytes((root / "dog/cut.jpg").read_bytes()[:600])  # its header is whole
    (root / "dog/empty.jpg").write_bytes(b"")
    (root / "dog/text.png").write_text("not an image")
    Image.new("1", (1, 1)).save(root / "bomb.bmp")
    with (root / "bomb.bmp").open("r+b") as file:
        file.seek(18)
        file.write(struct.pack("<ii", 20_000, 20_000))  # width and height
    return root


def plan(root, *overrides):
    return Plan(load_config("nano", ("subjects.source=folder", f"subjects.path={root}", "pairs.count=20", *overrides)))


def test_a_folder_without_one_readable_image_is_one_line_that_names_the_first(broken):
    with pytest.raises(PlanError) as caught:
        require_readable(plan(broken))
    assert re.fullmatch(
        rf"subjects.path: no image below {broken} can be read: bomb.bmp: too many pixels; allowed are \d+; "
        r"dog/cut.jpg: truncated or broken: .*; dog/empty.jpg: empty, 0 bytes; and 1 more",
        str(caught.value),
    )


def test_one_readable_image_is_enough(broken):
    Image.new("RGB", (300, 300)).save(broken / "dog/z.bmp")  # the largest file, and the last by name
    require_readable(plan(broken))
    with pytest.raises(PlanError, match="no image below"):
        require_readable(plan(broken, "pairs.count=4", "pairs.per_subject=1"))  # of which no pair would be made


def test_other_sources_have_nothing_to_read():
    require_readable(Plan(load_config("nano", ("subjects.source=renderer",))))

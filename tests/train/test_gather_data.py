"""What two workers tell each other of their data: where each stands, and what was broken."""

import io

import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image

from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.train.data.sources.folder import IMAGES_PER_FILE
from toffee_pipeline.train.data.stream import Batches, Position, read_here, resume
from toffee_pipeline.train.loop import gather_data
from toffee_pipeline.train.saved import BrokenSamples


def _worker(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    source = f"data.sources=[{{format: folder, path: '{folder}/photos'}}]"
    reader = make_reader(make_config(RefinerTraining, source, "data.min_side_px=8"))
    batches = Batches(read_here(reader), resume([], rank, 2), 2, IMAGES_PER_FILE - 1, 1.0)
    batches.next()  # of 62 usable images in the first read and one of the next
    before = BrokenSamples(times=3, first=("z.png: gone",), too_small=4)
    positions, broken = gather_data(batches, before, 2)
    if rank == 0:
        assert [type(position) for position in positions] == [Position, Position]
        assert [position.read for position in positions] == [2, 3]
        assert broken.times >= 3 + 2
        assert broken.too_small >= 4 + 2
        assert [line.partition(":")[0] for line in broken.first][0] == "z.png"
        assert {line.partition(":")[0] for line in broken.first} == {"z.png", "000.png", "100.png"}
        (folder / "asserted").touch()
    dist.destroy_process_group()


def test_two_workers_share_what_each_has_left_out(tmp_path):
    buffers = {side: io.BytesIO() for side in (7, 8)}
    for side, buffer in buffers.items():
        Image.new("RGB", (side, 8)).save(buffer, "PNG")
    (tmp_path / "photos").mkdir()
    for number in range(2 * IMAGES_PER_FILE):
        data = b"no picture" if number in (0, 100) else buffers[7 if number in (1, 101) else 8].getvalue()
        (tmp_path / f"photos/{number:03d}.png").write_bytes(data)
    mp.start_processes(_worker, (tmp_path,), nprocs=2, start_method="fork")
    assert (tmp_path / "asserted").exists()

"""One bad sample ends alone: out of memory, a process that dies, and the crashes that count against a suspect."""

import subprocess
import sys

import pytest
import torch

from actors.executors.ray_rows import RunRecord
from actors.guard import CrashGuard, CrashRecord, ended_by_cuda_errors, halving, is_cuda_error
from toffee_pipeline.errors import SampleError


class Memory:
    """A network with room for so many samples; the ones in `huge` never fit."""

    def __init__(self, room: int, huge: tuple[int, ...] = ()) -> None:
        self.room, self.huge, self.sizes = room, huge, []

    def __call__(self, batch: list[int]) -> list[int]:
        self.sizes.append(len(batch))
        if len(batch) > self.room or set(batch) & set(self.huge):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * value for value in batch]


def test_a_micro_batch_halves_until_it_fits() -> None:
    memory = Memory(room=2)
    assert halving(memory, list(range(8))) == [10 * value for value in range(8)]
    assert memory.sizes == [8, 4, 2, 2, 4, 2, 2]


def test_who_does_not_fit_alone_fails_and_its_neighbours_do_not() -> None:
    results = halving(Memory(room=4, huge=(5,)), list(range(8)))
    assert isinstance(results[5], SampleError) and "out of memory" in str(results[5])
    assert [value for value in results if not isinstance(value, SampleError)] == [0, 10, 20, 30, 40, 60, 70]


def test_another_error_is_no_samples_fault() -> None:
    def broken(batch: list[int]) -> list[int]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        halving(broken, [1, 2])


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with"), True),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error: said by somebody else"), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_of_the_gpu_is_known_from_one_of_the_code(error: Exception, ends: bool) -> None:
    assert is_cuda_error(error) == ends


def test_an_error_of_cuda_in_a_stage_that_has_never_computed_ends_the_run_with_its_traceback() -> None:
    record, told = RunRecord(), []
    record.add("synthesize", 4, 1.0)
    record.begin(7, "draft", ["a"])
    message = "CUDA error: no kernel image is available for execution on the device"
    with (
        pytest.raises(RuntimeError, match="no kernel image"),
        ended_by_cuda_errors(told.append, lambda: record.has_computed(7)),
    ):
        raise RuntimeError(f"{message}\nCompile with TORCH_USE_CUDA_DSA")
    assert told == [message]
    record.add("draft", 4, 1.0)
    assert record.has_computed(7)


def test_once_a_stage_has_computed_an_error_of_cuda_ends_the_process_and_shows_its_traceback() -> None:
    code = (
        "from actors.guard import ended_by_cuda_errors\n"
        "with ended_by_cuda_errors(print, lambda: True):\n"
        "    raise RuntimeError('CUDA error: unspecified launch failure')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr and "line 3" in ended.stderr


def guard_of(book: CrashRecord) -> CrashGuard:
    return CrashGuard(lambda method, *args: getattr(book, method)(*args))


def die_in(book: CrashRecord, shard: int, ids: list[str]) -> None:
    """A process that computes these samples and is gone."""
    guard = guard_of(book)
    guard.start(shard)
    book.begin(shard, "draft", ids)


def test_only_crashes_of_a_sample_that_was_alone_are_counted() -> None:
    book = CrashRecord()
    die_in(book, 7, ["a", "b", "b"])  # padded with its last sample
    guard = guard_of(book)
    guard.start(7)
    assert (guard.crashes_alone("draft", "a"), guard.crashes_alone("draft", "b")) == (0, 0)
    assert guard.crashes_alone("draft", "c") is guard.crashes_alone("refine", "a") is None
    with guard.watch("draft", ["a"], 60):
        pass  # alone, and it lives
    die_in(book, 7, ["b"])
    guard.start(7)
    assert (guard.crashes_alone("draft", "a"), guard.crashes_alone("draft", "b")) == (0, 1)


def test_a_finished_shard_clears_its_samples() -> None:
    book = CrashRecord()
    die_in(book, 7, ["a"])
    guard = guard_of(book)
    guard.start(7)
    guard.finish()
    guard.start(7)
    assert guard.crashes_alone("draft", "a") is None


def test_a_try_after_one_that_died_is_a_retry() -> None:
    book = CrashRecord()
    guard_of(book).start(0)  # and its process dies between two micro-batches
    die_in(book, 0, ["a", "b"])
    guard = guard_of(book)
    guard.start(0)
    guard.finish()
    guard.start(0)  # the next pool's turn
    assert book.retries() == 2

"""What is read and encoded beside the micro-batches: when, in which order, and what its errors end."""

import threading

import pytest

from actors.guard import CrashGuard, CrashRecord, NoGuard
from actors.shard import Shard
from actors.stage import Stage, no_progress
from toffee_pipeline.errors import SampleError
from toffee_pipeline.plan.plan import Plan

WAIT_S = 30.0


class Coded(Stage):
    """Micro-batches of one pair. What it does to the pair number n is noted as (what, n)."""

    name = "draft"

    def __init__(self, *args):
        super().__init__(*args)
        self.began = {(what, n): threading.Event() for what in ("read", "compute", "encode") for n in range(8)}
        self.noted = []

    def note(self, what, number):
        self.noted.append((what, number))
        self.began[what, number].set()

    def wait_for(self, what, number):
        if number < 3 and not self.began[what, number].wait(WAIT_S):
            raise TimeoutError(f"{what} of {number} has not begun")

    def read(self, state):
        number = int(state.id.lstrip("p"))
        self.note("read", number)
        return number

    def compute(self, batch):
        (number,) = batch
        self.note("compute", number)
        return [number]

    def encode(self, number):
        self.note("encode", number)
        return number

    def store(self, state, number):
        state.scores["coded"] = number

    def process(self, shard):
        self.run(shard.open_pairs(), self.compute, self.store, self.read, self.encode)


class Overlapped(Coded):
    """No micro-batch ends before the next one's images are being decoded, no encoding before the next one computes."""

    def compute(self, batch):
        results = super().compute(batch)
        self.wait_for("read", batch[0] + 1)
        return results

    def encode(self, number):
        self.wait_for("compute", number + 1)
        return super().encode(number)


def coded(nano, kind, guard=None):
    config = nano("pairs.count=3", "pairs.per_subject=3", "subjects_per_shard=1", "stages.draft.batch_size=1")
    return kind(config, None, no_progress, guard or NoGuard()), Shard.from_plan(Plan(config), 0)


def test_images_are_decoded_and_encoded_while_another_micro_batch_computes(nano):
    stage, shard = coded(nano, Overlapped)
    stage(shard)
    assert [state.scores["coded"] for state in shard.pairs] == [0, 1, 2]
    assert all(state.stage_s["draft"] > 0 for state in shard.pairs)


class OneBad(Coded):
    def compute(self, batch):
        return [SampleError("too dark")] if super().compute(batch) == [1] else batch


def test_a_bad_sample_is_not_encoded_and_fails_alone(nano):
    stage, shard = coded(nano, OneBad)
    stage(shard)
    assert [state.status for state in shard.pairs] == ["ok", "failed", "ok"]
    assert shard.pairs[1].error == "draft: too dark"
    assert ("encode", 1) not in stage.noted and ("encode", 2) in stage.noted


class BrokenEncoder(Coded):
    def encode(self, number):
        raise RuntimeError(f"no image: {number}")


class BrokenReader(Coded):
    def read(self, state):
        raise RuntimeError("a stage ran before the one that fills its input")


@pytest.mark.parametrize("kind", [BrokenEncoder, BrokenReader])
def test_what_goes_wrong_in_a_thread_crashes_the_stage(nano, kind):
    stage, shard = coded(nano, kind)
    with pytest.raises(RuntimeError, match="no image: 0|before the one that fills"):
        stage(shard)


def test_a_suspect_is_read_while_it_is_watched_and_never_ahead(nano):
    record = CrashRecord()
    guard = CrashGuard(lambda method, *args: getattr(record, method)(*args))
    guard.start(0)
    record.begin(0, "draft", ["p000000000", "p000000001"])  # and the process died
    guard.start(0)
    stage, shard = coded(nano, Coded, guard)
    stage(shard)
    order = [(what, number) for what, number in stage.noted if what != "encode"]
    assert order == [(what, number) for number in (2, 0, 1) for what in ("read", "compute")]

from actors.stage_counts import StageCounts


def test_micro_batches_add_up_per_stage():
    counts = StageCounts()
    for stage, rows, seconds in (("draft", 2, 0.5), ("draft", 3, 1.0), ("score", 1, 0.25)):
        counts.add(stage, rows, seconds)
    assert counts.snapshot() == {"draft": (5, 1.5), "score": (1, 0.25)}

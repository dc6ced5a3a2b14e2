from toffee_pipeline.rundir.frequent_errors import KEPT, FrequentErrors


def test_the_most_frequent_come_first():
    errors = FrequentErrors()
    errors.add({"rare": 1, "common": 2})
    errors.add({"common": 3, "other": 2})
    assert list(errors.most(2).items()) == [("common", 5), ("other", 2)]


def test_memory_stays_bounded_when_every_error_names_its_file():
    errors = FrequentErrors()
    errors.add({"common": 3})
    for number in range(5 * KEPT):
        errors.add({f"file {number}": 1})
    kept = errors.most(10 * KEPT)
    assert len(kept) <= 2 * KEPT and kept["common"] == 3

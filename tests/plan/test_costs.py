"""The closed form of a dataset's cost."""

import itertools

import pytest

from toffee_pipeline.plan.costs import paper_drawing_hours, per_accepted

STAGES = ("a", "b", "c", "judge")
COSTS = {"a": 2.0, "b": 3.0, "c": 5.0}


@pytest.mark.parametrize("rates", itertools.product((1.0, 0.5, 0.1), repeat=2))
def test_it_is_what_making_pairs_until_enough_are_accepted_costs(rates):
    pass_rates = {"b": rates[0], "judge": rates[1]}
    found = per_accepted(COSTS, pass_rates, STAGES)
    accepted, left, spent = 1000.0, 1000.0 / (rates[0] * rates[1]), 0.0
    for stage in STAGES:
        spent += left * COSTS.get(stage, 0.0)
        left *= pass_rates.get(stage, 1.0)
    assert left == pytest.approx(accepted)
    assert sum(found.values()) * accepted == pytest.approx(spent)


def test_a_pair_that_is_rejected_early_costs_nothing_later():
    found = per_accepted(COSTS, {"a": 0.5}, STAGES)
    assert found == {"a": 4.0, "b": 3.0, "c": 5.0}


def test_the_papers_dataset_takes_tens_of_thousands_of_hours_to_draw():
    assert 20_000 < paper_drawing_hours(5_000_000) < 60_000

"""A value is chosen for what it accepts, where that is more than chance, and never one that others beat."""

import pytest

from toffee_pipeline.calibration.choose import Outcome, choose


def outcomes(similarity, clip, accepted, of=10):
    """Pairs of a subject each, of which the first so many are accepted."""
    return [
        Outcome(f"p{n}", f"s{n}", {"similarity": similarity, "dino": 0.5, "clip": clip}, n < accepted)
        for n in range(of)
    ]


def test_the_value_that_accepts_most_of_the_front():
    choice = choose({0.2: outcomes(0.9, 0.2, 4), 0.4: outcomes(0.8, 0.3, 9), 0.6: outcomes(0.7, 0.25, 10)}, own=0.2)
    assert choice.front == (0.2, 0.4)  # 0.6 is worse than 0.4 in both
    assert choice.value == 0.4 and choice.gain.value == pytest.approx(0.5)
    assert choice.figures[0.4].accepted.value == 0.9 and choice.figures[0.4].means["clip"].value == pytest.approx(0.3)


def test_chance_moves_nothing():
    """Of ten subjects and two added ones four more are 0.33, two standard errors 0.38; five more are 0.42 and 0.39."""
    assert choose({0.2: outcomes(0.9, 0.2, 4), 0.4: outcomes(0.8, 0.3, 8)}, own=0.2).value == 0.2
    assert choose({0.2: outcomes(0.9, 0.2, 4), 0.4: outcomes(0.8, 0.3, 9)}, own=0.2).value == 0.4


@pytest.mark.parametrize(("subjects", "moves"), [(1, False), (2, False), (4, False), (5, True), (40, True)])
@pytest.mark.parametrize("pairs_each", [1, 4])
def test_few_subjects_move_nothing_even_where_all_agree(subjects, moves, pairs_each):
    def all_of(accepted):
        scores = {"similarity": 0.5, "dino": 0.5, "clip": 0.5}
        ids = [(n, k) for n in range(subjects) for k in range(pairs_each)]
        return [Outcome(f"p{n}-{k}", f"s{n}", scores, accepted) for n, k in ids]

    choice = choose({0.2: all_of(False), 0.4: all_of(True)}, own=0.2)
    assert choice.value == (0.4 if moves else 0.2)


def test_a_value_that_accepts_fewer_pairs_is_not_chosen_for_the_number_of_its_subjects():
    def of(similarity, large, small):
        scores = {"similarity": similarity, "dino": 0.5, "clip": similarity}
        some = [Outcome(f"p{n}", "large", scores, large) for n in range(100)]
        return some + [Outcome(f"q{n}", f"s{n}", scores, small) for n in range(30)]

    assert choose({0.2: of(0.4, True, False), 0.4: of(0.5, False, True)}, own=0.2).value == 0.2


def test_pairs_of_one_subject_are_no_independent_witnesses():
    def same(rows):
        return [Outcome(each.pair_id, "s", each.scores, each.accepted) for each in rows]

    choice = choose({0.2: same(outcomes(0.9, 0.2, 0)), 0.4: same(outcomes(0.8, 0.3, 9))}, own=0.2)
    assert choice.value == 0.2


def test_scores_are_compared_on_the_pairs_that_all_values_have():
    lost = [Outcome("p0", "s0", {}, False), *outcomes(0.8, 0.3, 10)[1:]]
    odd = [Outcome("p0", "s0", {"similarity": 0.0, "dino": 0.0, "clip": 0.0}, True), *outcomes(0.9, 0.2, 10)[1:]]
    choice = choose({0.2: odd, 0.4: lost}, own=0.2)
    assert choice.figures[0.2].means["similarity"].value == pytest.approx(0.9)
    assert choice.figures[0.4].accepted.value == pytest.approx(0.9)

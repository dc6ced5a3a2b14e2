"""Answers as the models' own pages show them."""

import pytest

from toffee_pipeline.safety.guards import GUARDS, Verdict


@pytest.mark.parametrize(
    ("family", "answer", "verdict"),
    [
        ("qwen3guard", "Safety: Unsafe\nCategories: Violent", Verdict("unsafe", ("Violent",))),
        (
            "qwen3guard",
            "Safety: Controversial\nCategories: Sexual Content or Sexual Acts, PII\n",
            Verdict("controversial", ("Sexual Content or Sexual Acts", "PII")),
        ),
        ("qwen3guard", "Safety: Safe\nCategories: None", Verdict("safe")),
        ("qwen3guard", "<think>\n\n</think>\n\nSafety: Safe\nCategories: None\nRefusal: No", Verdict("safe")),
        ("qwen3guard", "I think that this prompt is Unsafe.", None),
        ("llama_guard", "\n\nsafe", Verdict("safe")),
        ("llama_guard", "\n\nunsafe\nS1,S10", Verdict("unsafe", ("S1", "S10"))),
        ("llama_guard", "unsafe", Verdict("unsafe")),
        ("llama_guard", "safety first", None),
        ("llama_guard", "", None),
        ("shieldgemma", "Yes", Verdict("unsafe")),
        ("shieldgemma", "No\n\nThe prompt asks for a teapot.", Verdict("safe")),
        ("shieldgemma", "Not at all", None),
        ("shieldgemma", "Maybe yes", None),
        ("granite_guardian", "Yes", Verdict("unsafe")),
        ("granite_guardian", "No\n<confidence> High </confidence>", Verdict("safe")),
        ("granite_guardian", "<think>\nIt is harmful? No.\n</think>\n<score> yes </score>", Verdict("unsafe")),
        ("granite_guardian", "<score> no </score>", Verdict("safe")),
        ("granite_guardian", "<think>\nwithout an end", None),
    ],
)
def test_an_answer_is_read_as_its_family_means_it(family, answer, verdict):
    assert GUARDS[family].read(answer) == verdict

import jinja2
import pytest

from toffee_pipeline.templates import load_template


@pytest.mark.parametrize(("name", "shown"), [("page.html", "&lt;b&gt; 2.0\n"), ("card.md", "<b> 2.0\n")])
def test_only_html_is_escaped(tmp_path, name, shown):
    (tmp_path / name).write_text("{{ text }} {{ 1 | double }}\n")
    template = load_template(tmp_path / name, double=lambda value: 2.0 * value)
    assert template.render(text="<b>") == shown


def test_nothing_may_be_missing(tmp_path):
    (tmp_path / "card.md").write_text("{{ text }}")
    with pytest.raises(jinja2.UndefinedError, match="text"):
        load_template(tmp_path / "card.md").render()

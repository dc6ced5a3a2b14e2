"""Names and errors of others can only be read on a terminal."""

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import toffee_pipeline
from toffee_pipeline.console.say import say
from toffee_pipeline.console.stdout import PlainConsole
from toffee_pipeline.printable import printable

ROOT = Path(toffee_pipeline.__file__).parent.parent
TRICK = "\x1b]0;owned\x07\x1b[2J\u202emug\x9b31m\r[bold]no[/wrong] :smile:"
SHOWN = r"\u001b]0;owned\u0007\u001b[2J\u202emug\u009b31m [bold]no[/wrong] :smile:"


def test_what_steers_a_terminal_is_shown_as_its_number():
    assert printable(TRICK) == SHOWN
    assert printable("one\ntwo\tthree\u2028four") == "one two three four"
    assert printable("\udce9\U000e0001") == r"\udce9\udb40\udc01"


@pytest.mark.parametrize("text", ["a red mug, 10 %", "Käse für München", "茶壺\u3000赤い", "50\u00a0000", "🍵", ""])
def test_text_of_any_language_stays(text):
    assert printable(text) == text


def test_a_line_is_one(capsys):
    say(f"{TRICK}\nrun complete")
    say(ValueError("wrong"), err=True)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{SHOWN} run complete\n", "wrong\n")


@pytest.mark.parametrize("inside", ["line", "out", "cell", "title", "text"])
def test_displays_and_tables_show_the_same(inside):
    file = io.StringIO()
    console = PlainConsole(file)
    console.width = 200
    if inside == "out":
        console.out(TRICK)
    elif inside == "text":
        console.print(Text(TRICK))
    elif inside == "line":
        console.print(TRICK, soft_wrap=True)
    else:
        table = Table("name", title=TRICK if inside == "title" else None)
        table.add_row(TRICK if inside == "cell" else 150 * "x")
        console.print(table)
    printed = file.getvalue()
    shown = " ".join(printed.split())
    assert printable(shown) == shown and r"\u001b]0;owned" in shown
    assert "[/wrong]" in shown and ":smile:" in shown


def test_a_terminal_still_gets_its_colours():
    file = io.StringIO()
    console = PlainConsole(file)
    console._force_terminal, console.no_color = True, False
    console.print(Text("mug\x1b[2J", style="bold"))
    assert "\x1b[2J" not in file.getvalue() and r"mug\u001b[2J" in file.getvalue()


def test_nothing_else_prints():
    """Whatever a job, or the code below it, says goes through `say` or the console above."""
    files = [path for part in ("jobs", "actors", "toffee_pipeline") for path in (ROOT / part).rglob("*.py")]
    shown = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho", "Console")
    }
    allowed = {
        *("toffee_pipeline/console/say.py", "toffee_pipeline/config/page.py"),
        "toffee_pipeline/storage/patience.py",  # below the console, by `printable` as well
    }
    assert {path for path in shown if "/recipe/" not in path} == allowed

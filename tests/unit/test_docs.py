"""The documentation is complete, current, and its links and code hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import holdfast
from holdfast import errors
from holdfast.errors import REGISTRY
from holdfast.limits import Limits
from tools import docs, gen_cli, gen_errors, gen_limits

ROOT = docs.ROOT
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
    key=str,
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DECISION_LINES_MAX = 14
"""Ten lines are the habit; a few more are allowed, an essay belongs in docs/explanation."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
every_decision = pytest.mark.parametrize("decision", DECISIONS, ids=lambda page: page.stem)


@pytest.mark.parametrize("name", docs.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    """In a process of its own: click keeps help options as another test's context had them."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.docs", "--check", name], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.cls.__name__)
def test_every_error_says_what_it_means_and_is_on_the_page(entry: errors.ErrorEntry) -> None:
    page = docs.text_of("reference/errors.md")
    assert entry.cls.__doc__
    assert f"### {entry.code} {entry.cls.__name__}" in page
    assert f"| `{entry.rpc}` |" in page
    assert all(f"`{field}`" in page for field in entry.cls.fields)


def test_every_exit_code_is_explained() -> None:
    constants = {name for name in vars(errors) if name.startswith("EXIT_")}
    assert constants <= {name for name, _ in gen_errors.EXIT_CODES}


def test_every_limit_says_why_and_is_on_the_page() -> None:
    found = gen_limits.documented()
    assert [limit.name for limit in found] == list(Limits._fields)
    assert [limit.name for limit in found if len(limit.reason.split()) < 3] == []
    page = docs.text_of("reference/limits.md")
    assert [limit.name for limit in found if f"| `{limit.name}` |" not in page] == []


def test_every_command_and_option_is_documented() -> None:
    page = docs.text_of("reference/cli.md")
    undocumented = []
    for doc in gen_cli.commands():
        if not doc.command.help:
            undocumented.append(doc.path)
        for parameter in doc.command.params:
            if not isinstance(parameter, click.Option) or parameter.hidden:
                continue
            if not parameter.help or not all(option in page for option in parameter.opts):
                undocumented.append(f"{doc.path} {parameter.opts[-1]}")
    assert undocumented == []


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _links(page):
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        if not destination.exists() or (anchor and anchor not in _anchors(destination)):
            broken.append(target)
    assert broken == []


@every_page
def test_python_blocks_compile(page: Path) -> None:
    for first_line, block in _code_blocks(page, "python"):
        compile("\n" * first_line + block, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        linked = [(page.parent / link.partition("#")[0]).resolve() for link in _links(page)]
        ahead += [target for target in linked if target.suffix == ".md" and target.is_file()]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


@every_decision
def test_a_decision_is_short_and_says_what_and_why(decision: Path) -> None:
    text = decision.read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines[0].startswith(f"# {decision.name[:4]} ")
    assert len(lines) <= DECISION_LINES_MAX
    assert re.search(r"^\*\*Decision\.\*\* ", text, re.MULTILINE)
    assert re.search(r"^\*\*Why\.\*\* ", text, re.MULTILINE)


def test_decision_numbers_are_unique() -> None:
    numbers = [decision.name[:4] for decision in DECISIONS]
    assert len(set(numbers)) == len(numbers)


def test_the_counterparts_of_colonyos_are_there() -> None:
    page = (ROOT / "docs/howto/coming-from-colonyos.md").read_text("utf-8")
    for prefix, classes in (
        (r"node\.channels", (holdfast.Channels, holdfast.SyncChannels)),
        ("channel", (holdfast.Channel, holdfast.SyncChannel)),
    ):
        names = set(re.findall(rf"`{prefix}\.(\w+)", page))
        assert len(names) > 5
        assert [name for name in names for one in classes if not hasattr(one, name)] == []
    fields = set(re.findall(r"`info\.(\w+)`", page))
    assert fields <= set(holdfast.ChannelInfo.__dataclass_fields__)
    assert set(re.findall(r"`HOLDFAST_LIMIT_(\w+)`", page)) <= {name.upper() for name in Limits._fields}
    told = set(re.findall(r"^\| `Err\w+` \| `(\w+)`", page, re.MULTILINE))
    assert len(told) == 7
    assert [name for name in told if not hasattr(errors, name)] == []


def _without_code(page: Path) -> str:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def _links(page: Path) -> list[str]:
    """Targets of the page's links that stay inside the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", _without_code(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _code_blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a language, each with the number of its first line."""
    text = page.read_text("utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]

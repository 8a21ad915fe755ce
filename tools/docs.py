"""Write the generated pages, or with ``--check`` say which are stale: ``python -m tools.docs [PAGE …]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import report
from tools import gen_cli, gen_errors, gen_limits

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NOTICE = "<!-- Generated; changes made here are lost. See `make docs`. -->\n\n"

PAGES: dict[str, Callable[[], str]] = {
    "benchmarks.md": report.page,
    "reference/cli.md": gen_cli.page,
    "reference/errors.md": gen_errors.page,
    "reference/limits.md": gen_limits.page,
}
"""Path of each page below docs/ and what makes its text."""


def text_of(name: str) -> str:
    """What the page ``name`` must hold."""
    return NOTICE + PAGES[name]().rstrip("\n") + "\n"


def is_current(name: str) -> bool:
    """Whether the page ``name`` holds what it must."""
    path = DOCS / name
    return path.exists() and path.read_text("utf-8") == text_of(name)


def write(name: str) -> None:
    """Make the page ``name`` hold what it must."""
    path = DOCS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(name), "utf-8")


def main() -> int:
    """1 if a page is stale and was only to be checked."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a page is stale")
    parser.add_argument("pages", nargs="*", default=list(PAGES), metavar="PAGE", help=f"of {', '.join(PAGES)}")
    options = parser.parse_args()
    stale = [name for name in options.pages if not is_current(name)]
    for name in stale:
        if options.check:
            print(f"docs/{name} is stale: run `make docs`", file=sys.stderr)
        else:
            write(name)
            print(f"wrote docs/{name}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure: ``python -m bench.run [--quick] [TOPIC …]``.

Every topic runs in a process of its own.  Results are kept in ``bench/results.json``, so that measuring some topics
again leaves the others as they were; ``docs/benchmarks.md`` and its plot are made from it.  ``--quick`` keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.figures import Figure, check
from tools import docs

HERE = Path(__file__).resolve().parent
CHILD = """
import importlib, json, pathlib, sys
topic, quick, out = sys.argv[1:]
figures = importlib.import_module("bench." + topic).figures(quick == "quick")
pathlib.Path(out).write_text(json.dumps(figures))
"""


def topics() -> list[str]:
    """Every module here that has figures."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef figures(" in path.read_text("utf-8"))


def measure(topic: str, *, quick: bool) -> list[Figure]:
    """The topic's figures.  RuntimeError if its process fails, ValueError if what it gives are no figures."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "figures.json"
        command = [sys.executable, "-c", CHILD, topic, "quick" if quick else "full", str(out)]
        done = subprocess.run(command, cwd=report.ROOT, check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}")
        return [check(figure) for figure in json.loads(out.read_text())]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "cpu": cpu_model(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    """1 if a topic could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data and fewer runs; nothing is written")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(topics())}; all if none is given")
    options = parser.parse_args()
    unknown = set(options.topics) - set(topics())
    if unknown:
        parser.error(f"no topic {', '.join(sorted(unknown))}; there are {', '.join(topics())}")
    failed, host = [], machine()
    for topic in options.topics or topics():
        host = machine()
        try:
            figures = measure(topic, quick=options.quick)
        except (RuntimeError, ValueError) as error:
            print(f"== {topic}: {error}", file=sys.stderr)
            failed.append(topic)
            continue
        print(report.table(topic, figures), flush=True)
        if not options.quick:
            keep(topic, host, figures)
    print(f"measured on {report.describe(host)}")
    return 1 if failed else 0


def keep(topic: str, host: dict[str, Any], figures: list[Figure]) -> None:
    """Put the topic's figures among the results; renew the page and the plot."""
    results = report.load()
    results[topic] = {"machine": host, "measured": time.strftime("%Y-%m-%d"), "figures": figures}
    report.save(results)
    report.plot(results)
    docs.write("benchmarks.md")


if __name__ == "__main__":
    sys.exit(main())

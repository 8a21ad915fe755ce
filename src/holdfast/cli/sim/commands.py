"""``holdfast sim``: the protocol cores in simulated worlds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .common import RATE, SIZE, TIME, prepare_plot
from .sync import sync

if TYPE_CHECKING:
    from ...simulation.transfer.options import StreamOptions
    from ...simulation.transfer.report import Report

_PROGRESS_BYTES_MIN = 64 * 1024 * 1024
"""A transfer below this is over before a progress bar is of use, unless something slows it down."""


class Window(click.ParamType[Any]):
    """A size, or ``auto``."""

    name = "size|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Bytes, or the word itself."""
        return value if value == "auto" else SIZE.convert(value, param, ctx)


@click.group()
def sim() -> None:
    """Run simulated worlds."""


sim.add_command(sync)


@sim.command()
@click.option(
    "--mode",
    type=click.Choice(["manager", "writer"]),
    default="manager",
    show_default=True,
    help="The sending end: a job's output sender, or a plain writer.",
)
@click.option("--size", type=SIZE, default="10MiB", show_default=True, help="Bytes to transfer: 100MiB, 1GB, 65536.")
@click.option("--delay", type=TIME, default="0", show_default=True, help="One-way delay of each lane: 10ms.")
@click.option(
    "--skew", type=TIME, default="0", show_default=True, help="Each packet's delay varies by ± this, uniformly."
)
@click.option(
    "--window", type=Window(), default="64KiB", show_default=True, help="Flow-control window; auto measures it."
)
@click.option("--packet", type=SIZE, help="Payload of a packet under a fixed window [default: what suits the window].")
@click.option("--slow-reader", type=RATE, metavar="BYTES_PER_S", help="The reader takes no more than this: 1MBps.")
@click.option("--bandwidth", type=RATE, metavar="BYTES_PER_S", help="The data lane carries no more than this: 100MBps.")
@click.option("--loss", type=float, default=0.0, metavar="SHARE", help="Share of packets lost, 0 to 0.9.")
@click.option("--duplicate", type=float, default=0.0, metavar="SHARE", help="Share of packets delivered twice, 0 to 1.")
@click.option("--disconnect-every", type=TIME, help="The link breaks this long after each connect: 500ms.")
@click.option(
    "--half-open",
    is_flag=True,
    help="Instead of breaking (or once, half way), the link goes silent: only a stall shows it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="All chance comes from this.")
@click.option(
    "--clock",
    type=click.Choice(["virtual", "real"]),
    default="virtual",
    show_default=True,
    help="Virtual time gives the same numbers for the same seed.",
)
@click.option("--verbose", "-v", is_flag=True, help="Say on standard error what happens, and when.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE.png", help="Draw the bytes in flight over time.")
@click.pass_context
def stream(ctx: click.Context, /, *, verbose: bool, as_json: bool, plot: str | None, **chosen: Any) -> None:
    """Send a stream through a simulated network and check every byte.

    Exits with 1 if a byte was lost, changed, doubled or out of place.
    """
    options = _options(chosen)
    samples: list[tuple[float, int]] | None = None
    if plot is not None:
        samples = prepare_plot(plot)
    report = _run(options, samples, verbose=verbose)
    click.echo(_as_json(report) if as_json else report.summary())
    if plot is not None and samples is not None:
        _draw(samples, plot, options)
    ctx.exit(0 if report.ok else 1)


def _options(chosen: dict[str, Any]) -> StreamOptions:
    """The options as the simulation takes them; click.BadParameter names the one that makes no sense."""
    from ...simulation.transfer.options import StreamOptions, check_options

    def whole(value: float | None) -> int | None:
        return None if value is None else int(value)

    for name in ("slow_reader", "bandwidth", "disconnect_every"):
        if chosen[name] == 0:
            option = "--" + name.replace("_", "-")
            raise click.BadParameter("0 would let nothing through; leave it out for no limit", param_hint=option)
    options = StreamOptions(
        mode=chosen["mode"],
        size=int(chosen["size"]),
        delay_s=chosen["delay"],
        skew_s=chosen["skew"],
        window=None if chosen["window"] == "auto" else int(chosen["window"]),
        packet=whole(chosen["packet"]),
        slow_reader=chosen["slow_reader"] or 0.0,
        loss=chosen["loss"],
        duplicate=chosen["duplicate"],
        bandwidth=chosen["bandwidth"] or 0.0,
        disconnect_every_s=chosen["disconnect_every"] or 0.0,
        half_open=chosen["half_open"],
        seed=chosen["seed"],
        clock=chosen["clock"],
    )
    try:
        return check_options(options)
    except UsageError as error:
        raise click.BadParameter(error.message.partition(": ")[2], param_hint=f"--{error.field}") from None


def _run(options: StreamOptions, samples: list[tuple[float, int]] | None, *, verbose: bool) -> Report:
    from ...simulation.transfer.run import run_stream

    log = (lambda text: click.echo(text, err=True)) if verbose else None
    if verbose or not _wants_progress(options):
        return run_stream(options, log=log, samples=samples)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("stream", total=options.size)
        return run_stream(options, progress=lambda received: bar.update(task, completed=received), samples=samples)


def _wants_progress(options: StreamOptions) -> bool:
    slowed = options.limit() is not None
    return options.clock == "real" and sys.stderr.isatty() and (slowed or options.size >= _PROGRESS_BYTES_MIN)


def _as_json(report: Report) -> str:
    import json

    return json.dumps(report.as_json())


def _draw(samples: list[tuple[float, int]], path: str, options: StreamOptions) -> None:
    from ...simulation.plot import draw_in_flight

    window = "auto" if options.window is None else f"{options.window:,} bytes"
    try:
        draw_in_flight(samples, path, f"window {window}, delay {options.delay_s * 1000:g} ms, seed {options.seed}")
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror or error}", param_hint="--plot") from None

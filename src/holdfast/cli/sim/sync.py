"""``holdfast sim sync``: a group in a simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...errors import HoldfastError, UsageError
from .common import SIZE, TIME, prepare_plot

if TYPE_CHECKING:
    from ...simulation.sync.options import SyncOptions
    from ...simulation.sync.report import SyncReport

_FIELDS = {"over": "over_s", "delay": "delay_s", "skew": "skew_s", "partition": "partition_s", "down": "down_s",
           "clock_skew": "clock_skew_s", "size": "size_bytes", "profile": "profiles"}  # fmt: skip


@click.command()
@click.option("--peers", type=int, default=20, show_default=True, help="How many take part.")
@click.option("--messages", type=int, default=1000, show_default=True, help="How many they send, all together.")
@click.option("--size", type=SIZE, default="100", show_default=True, help="Content of each message.")
@click.option("--over", type=TIME, default="60s", show_default=True, help="The time in which they are sent.")
@click.option("--delay", type=TIME, default="10ms", show_default=True, help="From one peer to another.")
@click.option("--skew", type=TIME, default="10ms", show_default=True, help="Each copy's delay varies by ± this.")
@click.option("--loss", type=float, default=0.0, metavar="SHARE", help="Share of copies that are lost, 0 to 0.9.")
@click.option("--duplicate", type=float, default=0.0, metavar="SHARE", help="Share of copies that arrive twice.")
@click.option("--partition", type=TIME, default="0", help="Half way, two halves hear nothing of each other: 30s.")
@click.option("--one-way", is_flag=True, help="One half hears the other during the partition.")
@click.option("--crashes", type=int, default=0, help="Peers that die, and come back from what they stored.")
@click.option("--down", type=TIME, default="5s", show_default=True, help="How long they are away at most.")
@click.option("--write-errors", type=float, default=0.0, metavar="SHARE", help="Share of their writes that fail.")
@click.option("--clock-skew", type=TIME, default="0", help="Wall clocks are wrong by up to ± this, and jump.")
@click.option(
    "--profile",
    multiple=True,
    default=("lan",),
    show_default=True,
    type=click.Choice(["lan", "wan", "interop", "interop-nim"]),
    help="Timers and sizes; given several times, peers have them in turn.",
)
@click.option("--dialect", type=click.Choice(["spec", "nim"]), default="spec", show_default=True, help="The wire.")
@click.option("--seed", type=int, default=0, show_default=True, help="All chance comes from this.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    "--plot", type=click.Path(dir_okay=False), metavar="FILE.png", help="Draw the deliveries still to come over time."
)
@click.pass_context
def sync(ctx: click.Context, /, *, as_json: bool, plot: str | None, **chosen: Any) -> None:
    """Let a group of peers talk over a network that loses things, and check who was given what, and when.

    Exits with 1 if a message was lost, given twice or out of causal order, or if not all have all in the end.
    """
    from ...simulation.sync.run import run_sync

    options = _options(chosen)
    samples = prepare_plot(plot) if plot is not None else None
    report = run_sync(options, samples)
    click.echo(_as_json(report) if as_json else report.summary())
    if plot is not None and samples is not None:
        _draw(samples, plot, options)
    ctx.exit(0 if report.ok else 1)


def _options(chosen: dict[str, Any]) -> SyncOptions:
    """The options as the simulation takes them; click.BadParameter names the one that makes no sense."""
    from ...simulation.sync.options import SyncOptions, check_options

    fields = {_FIELDS.get(name, name): value for name, value in chosen.items()}
    try:
        return check_options(SyncOptions(**{**fields, "size_bytes": int(fields["size_bytes"])}))
    except UsageError as error:
        raise click.BadParameter(error.message.partition(": ")[2], param_hint=f"--{error.field}") from None


def _as_json(report: SyncReport) -> str:
    import json

    return json.dumps(report.as_json())


def _draw(samples: list[tuple[float, int]], path: str, options: SyncOptions) -> None:
    from ...simulation.plot import draw_undelivered

    title = f"{options.peers} peers, {options.messages} messages, {options.loss:.0%} lost, seed {options.seed}"
    try:
        draw_undelivered(samples, path, title)
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror or error}", param_hint="--plot") from None
    except HoldfastError as error:
        raise click.ClickException(error.message) from None

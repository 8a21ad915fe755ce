"""``holdfast completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": 'eval "$(holdfast completion bash)"            # in ~/.bashrc',
    "zsh": 'eval "$(holdfast completion zsh)"             # in ~/.zshrc',
    "fish": "holdfast completion fish | source             # in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(sorted(_HOW)))
def completion(shell: str) -> None:
    """Print a completion script for your shell."""
    from .main import cli

    made = get_completion_class(shell)
    assert made is not None
    source = made(cli, {}, "holdfast", "_HOLDFAST_COMPLETE").source()
    if shell == "fish":  # only the first comma separates; values and what is said of them have commas too
        source = source.replace('string split ","', 'string split --max 1 ","')
    click.echo(source)

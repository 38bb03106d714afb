"""`edgeseq completion`: what a shell reads to complete commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

FILES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/edgeseq.fish"}
"""Shell → the file that a line goes into."""


@click.command()
@click.argument("shell", type=click.Choice([*FILES]))
def completion(shell: str) -> None:
    """Print the completion for a shell.

    bash, zsh: add `eval "$(edgeseq completion bash)"` to ~/.bashrc, or zsh and ~/.zshrc. fish: `edgeseq completion
    fish > ~/.config/fish/completions/edgeseq.fish`.
    """
    found = get_completion_class(shell)
    if found is None:  # none of click's
        raise click.BadParameter(f"{shell!r} is not known", param_hint="SHELL")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "edgeseq", "_EDGESEQ_COMPLETE").source())

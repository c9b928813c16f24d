"""``midas completion SHELL``: what a shell needs to complete the words of ``midas``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print what a shell needs to complete these commands.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the completion of SHELL; put it where the shell looks for it.

    \b
      bash   midas completion bash > ~/.local/share/bash-completion/completions/midas
      zsh    midas completion zsh > ~/.zfunc/_midas          with ~/.zfunc in fpath
      fish   midas completion fish > ~/.config/fish/completions/midas.fish

    For the running shell only: eval "$(midas completion bash)"
    """  # noqa: D301 - click wants the very character, to keep the lines as they are
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "midas", "_MIDAS_COMPLETE").source())
    return 0

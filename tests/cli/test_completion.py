"""Completion: bash itself is asked, the other shells' questions are put as they put them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = [
    ("midas part", {"participant"}),
    ("midas run --ti", {"--timeout"}),
    ("midas run --on-error ", {"stop", "continue"}),
    ("midas completion ", {"bash", "zsh", "fish"}),
]

BASH = """
eval "$(midas completion bash)"
COMP_WORDS=({words}) COMP_CWORD={last}
_midas_completion midas
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_completes_commands_options_and_values(line, offered, tmp_path):
    words = line.split(" ")
    script = BASH.format(words=" ".join(f"'{word}'" for word in words), last=len(words) - 1)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert not ended.stderr
    assert set(ended.stdout.split()) == offered


@pytest.mark.parametrize(("line", "offered"), CASES)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_answers_to_their_questions(midas, shell, line, offered):
    words = line.split(" ")
    position = str(len(words) - 1) if shell == "zsh" else words[-1]
    question = {"COMP_WORDS": line, "COMP_CWORD": position, "_MIDAS_COMPLETE": f"{shell}_complete"}
    ended = midas(env=question)
    assert (ended.code, ended.err) == (0, "")
    answers = [text for answer in ended.out.splitlines() for text in answer.split(",")]
    assert offered <= {text.split("\t")[0] for text in answers}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_printed_asks_midas(midas, shell):
    ended = midas("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_MIDAS_COMPLETE={shell}_complete" in ended.out


def test_an_unknown_shell_is_wrong_usage(midas):
    ended = midas("completion", "tcsh")
    assert (ended.code, ended.out) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in ended.err

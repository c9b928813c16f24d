"""A script as its caller sees it: waits for the answer, and tells how far it is meanwhile."""

from __future__ import annotations

import queue

from midas_mp.driver.job import Answer
from midas_mp.errors import MidasError
from midas_mp.executor.bridge import Bridge
from midas_mp.executor.progress import Progress
from midas_mp.executor.scripts import ScriptNews, ScriptPlan, answer_value


def run_script(
    bridge: Bridge, plan: ScriptPlan, progress: Progress, *, raw: bool
) -> str | bytes | float | None:
    """The answer of a script over a bridge; what ends the wait, such as Ctrl-C, stops it.

    Raises:
        ScriptError: the script failed.
        MidasError: the workers, or the executor, went away.
    """
    news: queue.SimpleQueue[ScriptNews] = queue.SimpleQueue()
    script = bridge.begin_script(plan, news.put)
    try:
        while True:
            told = news.get()
            if isinstance(told, MidasError):
                raise told from told.__cause__
            if isinstance(told, Answer):
                return answer_value(told, raw=raw)
            progress.advanced(*told)
    finally:
        script.stop()
        progress.close()

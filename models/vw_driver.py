"""VW's driver in a child process that learns from a pipe while we write: no text ever lies on disk.

`vw_train` is the child. A thread writes, at most `_AHEAD` pieces behind the encoder, so that the slower of the two, the
driver, never waits, and memory does not grow with the log.
"""

import re
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from models import vw_train
from models.error import DivergedModelError, LearnerError

_AHEAD: Final = 16
_LOSS = re.compile(r"^average loss = (\S+)", re.MULTILINE)
_EXAMPLES = re.compile(r"^number of examples = (\d+)$", re.MULTILINE)
_COMPLAINT = re.compile(r"malformed|warning|error", re.IGNORECASE)


class Driver:
    """One training. Use it in a `with`: leaving early ends the child.

    Args: arguments, VW's own; workdir, where the child runs, so that files in `arguments` are named within it.
    """

    def __init__(self, arguments: Sequence[str], workdir: Path) -> None:
        self._workdir = workdir
        command = [sys.executable, "-P", vw_train.__file__, *arguments, "-d", "/dev/stdin"]
        self._log = [(workdir / name).open("w+", encoding="utf-8", errors="replace") for name in ("stdout", "stderr")]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._log[0], stderr=self._log[1], cwd=workdir
        )
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="vw-text")
        self._ahead: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        self._writer.shutdown(cancel_futures=True)
        self._close_input()
        for log in self._log:
            log.close()
            Path(log.name).unlink()

    def write(self, text: bytes) -> None:
        """Hand text over; waits while the driver is far behind.

        Raises:
            LearnerError: in VW's words, if it has ended.
        """
        self._ahead.append(self._writer.submit(self._send, text))
        while len(self._ahead) > _AHEAD:
            self._ahead.popleft().result()

    def finish(self, n_decisions: int) -> None:
        """Wait until all is learned and the model saved.

        Raises:
            DivergedModelError: if the loss is not finite.
            LearnerError: if VW failed, skipped decisions or complained about its text.
        """
        while self._ahead:
            self._ahead.popleft().result()
        self._close_input()
        code = self._child.wait()
        output, complaint = self._said()
        if code or complaint:
            raise _failure(code, complaint)
        examples, loss = _EXAMPLES.search(output), _LOSS.search(output)
        if examples is None or loss is None or int(examples[1]) != n_decisions:
            raise LearnerError(f"vowpal wabbit must learn all of {n_decisions} decisions, it said: {output[-2000:]}")
        if not isfinite(float(loss[1])):
            raise DivergedModelError(f"vowpal wabbit ended with a loss of {loss[1]}")

    def _send(self, text: bytes) -> None:
        if self._child.stdin is None:
            raise AssertionError("the child has a pipe to read from")
        try:
            self._child.stdin.write(text)
            self._child.stdin.flush()
        except BrokenPipeError as error:
            code = self._child.wait()
            raise _failure(code, self._said()[1]) from error

    def _close_input(self) -> None:
        if self._child.stdin is not None and not self._child.stdin.closed:
            try:
                self._child.stdin.close()
            except BrokenPipeError:
                return  # it has ended; what it said tells why

    def _said(self) -> tuple[str, str]:
        """Read the driver's output, and those lines of its log that complain; where it failed, the log's end."""
        for log in self._log:
            log.seek(0)
        output, spoken = (log.read() for log in self._log)
        complaint = "\n".join(line for line in spoken.splitlines() if _COMPLAINT.search(line))
        return output, complaint or (spoken[-2000:].strip() if self._child.returncode else "")


def _failure(code: int, said: str) -> LearnerError:
    if "nan" in said.lower():
        return DivergedModelError(f"vowpal wabbit diverged: {said[:2000]}")
    return LearnerError(f"vowpal wabbit ended with code {code}: {said[:2000]}")

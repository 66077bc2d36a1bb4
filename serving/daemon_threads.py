"""An executor whose threads the end of the process does not wait for: what hangs in one may hang for ever.

Those of `concurrent.futures` are joined at the end, whoever shut their pool down.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, ParamSpec, TypeVar

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _Task(NamedTuple):
    future: "Future[Any]"
    do: Callable[[], Any]


class DaemonThreads(Executor):
    """At most n threads, each begun when there is something to do; for one owner, which submits from one thread."""

    def __init__(self, n: int, name: str) -> None:
        self._n, self._name = n, name
        self._n_begun = 0
        self._is_ended = False
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        """Do something on the next thread that is free.

        Raises:
            RuntimeError: if there is no thread, and none can be begun; or after a shutdown.
        """
        if self._is_ended:
            raise RuntimeError(f"the threads of {self._name} were told to end")
        future: Future[_T] = Future()
        if self._n_begun < self._n:
            self._begin()
        self._tasks.put(_Task(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the threads end, each once it is done with what it does; nobody waits for them."""
        self._is_ended = True
        if cancel_futures:
            while not self._tasks.empty():
                task = self._tasks.get()
                if task is not None:
                    task.future.cancel()
        for _ in range(self._n_begun):
            self._tasks.put(None)

    def _begin(self) -> None:
        try:
            Thread(target=_work, args=(self._tasks,), name=self._name, daemon=True).start()
        except RuntimeError:
            if not self._n_begun:
                raise
        else:
            self._n_begun += 1


def _work(tasks: "SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        if not task.future.set_running_or_notify_cancel():
            continue
        try:
            found = task.do()
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(found)
        del task  # what it held is not held until there is another

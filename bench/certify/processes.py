"""Checks of several methods side by side, each process with one thread of torch, and their outcomes in order."""

import logging
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging.handlers import QueueHandler
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

from bench.certify.check import Case, Check
from bench.certify.checks import certify
from methods import PLUGINS, OptionError, plug

Message = Check | logging.LogRecord | OptionError | None  # None: the group is done


class Group(NamedTuple):
    """One entry of `CHECKS` for one case."""

    case: Case
    name: str


def count_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_checks(groups: Sequence[Group], jobs: int | None = None) -> Iterator[tuple[Group, Iterator[Check]]]:
    """The groups in order, each with the outcomes of its checks as they arrive, which have to be taken in this order.

    Up to `jobs` groups run at a time, by default one per core; with one, they run in this process. Raises OptionError
    as `certify` does, ChildProcessError if a process ends in the middle of a check.
    """
    jobs = min(jobs or count_cores(), len(groups))
    if jobs <= 1:
        with _single_threaded():
            yield from ((group, _run_timed(group)) for group in groups)
        return

    pool = _Pool(groups, jobs)
    try:
        yield from ((group, pool.take(index)) for index, group in enumerate(groups))
    finally:
        pool.close()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let torch use one thread: its threads would only wait for each other over the small tensors of the checks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _run_timed(group: Group) -> Iterator[Check]:
    """The outcomes of a group with their seconds."""
    start = perf_counter()
    for check in certify(group.case, [group.name]):
        yield replace(check, seconds=round(perf_counter() - start, 3))
        start = perf_counter()


@dataclass
class _Worker:
    """A process, the connection to it, and the index of the group that it runs."""

    process: BaseProcess
    connection: Connection
    index: int = -1


class _Pool:
    """Processes that take the groups in order, and what has arrived of each group."""

    def __init__(self, groups: Sequence[Group], jobs: int) -> None:
        self.groups = groups
        self.waiting = deque(range(len(groups)))
        self.messages: list[deque[Message]] = [deque() for _ in groups]
        self.workers = [_start_worker() for _ in range(jobs)]
        for worker in self.workers:
            self._occupy(worker)

    def take(self, index: int) -> Iterator[Check]:
        """The outcomes of a group as they arrive; its log is repeated here."""
        while True:
            while not self.messages[index]:
                self._receive()
            message = self.messages[index].popleft()
            if message is None:
                return
            if isinstance(message, OptionError):
                raise message
            if isinstance(message, logging.LogRecord):
                logging.getLogger(message.name).handle(message)
            else:
                yield message

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()

    def _receive(self) -> None:
        """Wait for messages, and give idle processes the next group."""
        by_connection = {worker.connection: worker for worker in self.workers if worker.index >= 0}
        for connection in wait(list(by_connection)):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                message: Message = connection.recv()
            except EOFError:
                raise self._report_end(worker) from None
            self.messages[worker.index].append(message)
            if message is None:
                self._occupy(worker)

    def _occupy(self, worker: _Worker) -> None:
        """Let a process run the next group, if one is waiting."""
        worker.index = self.waiting.popleft() if self.waiting else -1
        if worker.index >= 0:
            worker.connection.send(self.groups[worker.index])

    def _report_end(self, worker: _Worker) -> ChildProcessError:
        """The error of a process that ended in the middle of its group."""
        worker.process.join()
        case, name = self.groups[worker.index]
        end = f"the process of the checks {name} of {case.name}, {case.precision} ended with {worker.process.exitcode}"
        return ChildProcessError(f"{end}; if the memory is too small for several, run one at a time: --jobs 1")


def _start_worker() -> _Worker:
    """Start a process that knows the plug-in files of this one."""
    context = get_context("spawn")
    near, far = context.Pipe()
    files = list(dict.fromkeys(plugin.path for plugin in PLUGINS.values() if plugin.path))
    process = context.Process(target=_work, args=(far, files), daemon=True)
    process.start()
    far.close()  # so that the end of the process is the end of the connection
    return _Worker(process, near)


class _LogSender(QueueHandler):
    """A handler that sends records to the process that reads the connection."""

    queue: Connection  # type: ignore[assignment]

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send the record, which is formatted and can be pickled."""
        self.queue.send(record)


def _work(connection: Connection, files: Sequence[Path]) -> None:
    """Run the groups that arrive until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    torch.set_num_threads(1)
    logging.basicConfig(handlers=[_LogSender(connection)])  # type: ignore[arg-type]
    logging.getLogger("bench").setLevel(logging.INFO)
    for path in files:
        plug(path, allow_changes=True)  # the checks name them
    try:
        while True:
            _serve(connection, connection.recv())
    except (EOFError, BrokenPipeError):
        return


def _serve(connection: Connection, group: Group) -> None:
    """Run a group and send its outcomes."""
    try:
        for check in _run_timed(group):
            connection.send(check)
    except OptionError as error:
        connection.send(error)
    connection.send(None)

"""Several processes on one address: each a whole proxy of its own, the kernel spreads the connections (SO_REUSEPORT).

Python runs on one core for each process. The processes share nothing: whatever one knows, the others know from the
host, as replicas on several machines do. The supervisor starts one anew that ended by itself, and hands signals on.
A supervisor that is killed can do neither: its workers notice, and drain by themselves.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

import msgspec

from vcproxy.config.sections import Config
from vcproxy.observe import logs

log = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds before a worker that ended by itself is started anew: one that cannot run must not take a core."""
LOOK: Final = 0.2
"""Seconds between two looks at the workers."""
MARGIN: Final = 10.0
"""Seconds beyond the drain after which a worker that was told to end is killed."""

_ENDED: Final = (0, -signal.SIGTERM)
"""Exit codes of workers that end as they should: one that was still starting has no drain, and nobody to drain."""

Work = Callable[[Config], int]


def of_worker(config: Config, index: int) -> Config:
    """The configuration of one worker: health and metrics of the second one are on the next port, and so on."""
    host, port = config.operations
    operations = (host, port + index if port else 0)
    listen = msgspec.structs.replace(config.listen, shared=True)
    return msgspec.structs.replace(config, listen=listen, operations=operations)


class Supervisor:
    """Keeps `count` workers running until a signal. `work` is what each does with its configuration (picklable)."""

    def __init__(self, config: Config, count: int, work: Work) -> None:
        self._config = config
        self._work = work
        self._patience = config.limits.drain + MARGIN
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[BaseProcess | None] = [None] * count
        self._again = [0.0] * count
        self._stopping = False

    def run(self) -> int:
        """Returns after SIGTERM or SIGINT, when all have ended: 0 if all that served drained."""
        logs.configure(self._config.log.format, self._config.log.level)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            for index in range(len(self._workers)):
                self._look(index)
            time.sleep(LOOK)
        return self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _look(self, index: int) -> None:
        worker, now = self._workers[index], time.monotonic()
        if worker is not None and worker.is_alive():
            return
        if worker is not None:
            log.error("worker %d ended by itself (exit code %s), it is started anew", index, worker.exitcode)
            self._workers[index], self._again[index] = None, now + PAUSE
        elif now >= self._again[index]:
            self._workers[index] = self._started(index)

    def _started(self, index: int) -> BaseProcess:
        name = f"vcproxy worker {index}"
        arguments = self._work, of_worker(self._config, index), self._patience
        made = self._context.Process(target=_run, args=arguments, name=name)
        made.start()
        return made

    def _end(self) -> int:
        running = [worker for worker in self._workers if worker is not None]
        for worker in running:
            worker.terminate()
        end = time.monotonic() + self._patience
        for worker in running:
            worker.join(max(0.0, end - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
        return 0 if all(worker.exitcode in _ENDED for worker in running) else 1


def _run(work: Work, config: Config, patience: float) -> None:
    """What a worker's process does."""
    threading.Thread(target=_watch_supervisor, args=(patience,), daemon=True).start()
    raise SystemExit(work(config))


def _watch_supervisor(patience: float) -> None:
    """End with the supervisor: drain when it is gone, in at most `patience` seconds.

    Else the worker would share its address with those of the next start. The end of the supervisor closes a pipe that
    this process was given at its birth; PR_SET_PDEATHSIG would tell of the end of the thread that started it.
    """
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    log.error("the supervisor is gone: this worker drains and ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os.kill(os.getpid(), signal.SIGKILL)

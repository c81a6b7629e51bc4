"""A client that makes changes, whatever breaks meanwhile."""

import contextlib
import http.client
import itertools
import threading
import time
from collections import Counter
from typing import Any, Final

from e2e.clients.followers import Access, Requests

LATER: Final = frozenset({429, 502, 503, 504})
"""Answers after which it asks again."""


class Pace:
    """Spreads changes of all writers over steps (restarts, say) whose length is not known before: equal shares.

    Within a step they come as fast as its share needs, if it lasts as long as those before.
    """

    def __init__(self, changes: int, steps: int, expected: float) -> None:
        """`expected` is in seconds, for the first step."""
        self._share = changes / steps
        self._expected = expected
        self._taken = 0
        self._steps = 0
        self._begun = self._start = time.monotonic()
        self._lock = threading.Lock()

    def step(self) -> None:
        """The next step begins."""
        with self._lock:
            self._steps += 1
            self._start = time.monotonic()
            self._expected = (self._start - self._begun) / self._steps

    def take(self, stop: threading.Event) -> None:
        """Returns when one more change may be made, or when all are to stop."""
        while not stop.is_set():
            with self._lock:
                passed = min(1.0, (time.monotonic() - self._start) / self._expected)
                if self._taken < self._share * (self._steps + passed):
                    self._taken += 1
                    return
            time.sleep(0.005)


class Writer:
    """Makes, changes three times and deletes ConfigMaps, one after the other, until it is stopped; `done` counts.

    It asks again after an answer that says `later`; `refused` counts these by code. Without a `pace` it makes a pause
    of 12 ms after each change.
    """

    def __init__(
        self,
        access: Access,
        spaces: list[str],
        name: str,
        stop: threading.Event,
        later: frozenset[int] = LATER,
        pace: Pace | None = None,
    ) -> None:
        self.done = 0
        self.refused = Counter[int]()
        self._later = later
        self._pace = pace
        self.failed: BaseException | None = None
        self._requests = Requests(access)
        self._spaces, self._name, self._stop = spaces, name, stop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for number, space in enumerate(itertools.cycle(self._spaces)):
                if self._stop.is_set():
                    return
                self._life(f"/api/v1/namespaces/{space}/configmaps", f"{self._name}-{number}")
        except BaseException as error:
            self.failed = error
        finally:
            self._requests.close()

    def _life(self, collection: str, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"counter": "0"}}
        self._until_done("POST", collection, body, also=409)
        for counter in range(1, 4):
            self._until_done("PUT", f"{collection}/{name}", {**body, "data": {"counter": str(counter)}})
        self._until_done("DELETE", f"{collection}/{name}", None, also=404)

    def _until_done(self, method: str, target: str, body: Any, also: int = 0) -> None:
        """Ask until there is an answer. Where there was none the change may have been made: `also` says that it was."""
        if self._pace is not None:
            self._pace.take(self._stop)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                code, document = self._requests.call(method, target, body)
                if code in (200, 201, also):
                    self.done += 1
                    time.sleep(0.012 if self._pace is None else 0)
                    return
                assert code in self._later, (code, document)
                self.refused[code] += 1
            time.sleep(0.1)
        raise TimeoutError(f"{method} {target}")

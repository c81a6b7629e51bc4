"""An informer in Python that keeps what stood on the wire: each event, each list, each reason to begin anew."""

import base64
import contextlib
import http.client
import json
import socket
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

PAUSE: Final = 0.1
"""Seconds between two tries to go on."""
SILENCE: Final = 30.0
"""Seconds of silence after which a connection is given up."""


class Seen(NamedTuple):
    """One event of a watch."""

    type: str
    uid: str
    version: int


class Access:
    """The user of a kubeconfig, with a token or a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.address = urlsplit(cluster["server"])
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:  # the ssl module reads key pairs from files only
                pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
                pair.write(base64.b64decode(user["client-key-data"]))
                pair.flush()
                self.tls.load_cert_chain(pair.name)

    def connect(self, silence: float = SILENCE) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self.address.hostname or "", self.address.port, timeout=silence, context=self.tls
        )


class Requests:
    """Requests over a kept connection, which is made anew when it broke."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection = access.connect(10.0)

    def call(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        """Code and document of an answer. Raises OSError or HTTPException where none came: it may have been done."""
        raw = None if body is None else json.dumps(body).encode()
        headers = {**self._access.headers, **({"Content-Type": "application/json"} if raw else {})}
        try:
            self._connection.request(method, target, raw, headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            self._connection = self._access.connect(10.0)
            raise

    def close(self) -> None:
        self._connection.close()


class Follower:
    """Lists a collection, watches it, and goes on from the last version for ever, in a thread of its own.

    `events` are those that came, in order; `lists` counts how often it began anew, `resumes` how often it went on.
    `held` is what it would show: the version of each object that is there, by uid.
    """

    def __init__(self, access: Access, collection: str) -> None:
        self.events: list[Seen] = []
        self.problems: list[str] = []
        self.held: dict[str, int] = {}
        self.lists = self.resumes = 0
        self.version = ""
        self._access = access
        self._collection = collection
        self._stopping = False
        self._connection: http.client.HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Follower":
        """Lists, so that everything after this call is seen."""
        self._list()
        self.start_version = int(self.version)
        self._thread.start()
        return self

    def has_seen(self, uids: set[str], seconds: float = SILENCE) -> bool:
        """Waits until an event of each of these objects has come. A write is answered before its event is sent."""
        end = time.monotonic() + seconds
        while not uids <= {one.uid for one in list(self.events)}:
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE)
        return True

    def has_listed(self, lists: int, seconds: float = SILENCE) -> bool:
        """Waits until it has begun anew so often."""
        end = time.monotonic() + seconds
        while self.lists < lists and time.monotonic() < end:
            time.sleep(PAUSE)
        return self.lists >= lists

    def stop(self) -> None:
        """Ends with the next event, or when the connection has been silent for long enough."""
        self._stopping = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(SILENCE + 5)

    def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # it is away: that is the point
                if not self.version:
                    self._list()
                self._watch()
            self.resumes += 1
            time.sleep(PAUSE)

    def _list(self) -> None:
        with contextlib.closing(Requests(self._access)) as requests:
            code, document = requests.call("GET", self._collection)
        if code != 200:
            raise http.client.HTTPException(f"list answered {code}: {document}")
        self.lists += 1
        self.version = document["metadata"]["resourceVersion"]
        found = [one["metadata"] for one in document["items"]]
        self.held = {one["uid"]: int(one["resourceVersion"]) for one in found}

    def _watch(self) -> None:
        connection = self._connection = self._access.connect()
        try:
            query = f"watch=1&allowWatchBookmarks=true&resourceVersion={self.version}"
            connection.request("GET", f"{self._collection}?{query}", headers=self._access.headers)
            with connection.getresponse() as response:
                if response.status != 200:
                    self.problems.append(f"watch answered {response.status}")
                    return
                while not self._stopping and self.version and (line := response.readline()):
                    if line.endswith(b"\n"):
                        self._take(json.loads(line))
        finally:
            connection.close()

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "ERROR":
            self.problems.append(f"{event['object'].get('code')}: {event['object'].get('message')}")
            self.version = ""  # what is there is listed anew
            return
        metadata = event["object"]["metadata"]
        self.version = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        self.events.append(Seen(event["type"], metadata["uid"], int(self.version)))
        if event["type"] == "DELETED":
            self.held.pop(metadata["uid"], None)
        else:
            self.held[metadata["uid"]] = int(self.version)

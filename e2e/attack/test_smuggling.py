"""Case 23: bytes that two readers could take for different requests are none. One 400, then the end."""

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Witness
from e2e.attack.wire import codes, exchange

pytestmark = pytest.mark.own_host

MAPS = "/api/v1/namespaces/default/configmaps"
INNER = "DELETE /api/v1/namespaces/web HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = "Host: x\r\nAuthorization: Bearer {token}\r\nUser-Agent: {agent}\r\n"

CASES = {
    "two kinds of length": (
        f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd",
    "a list of lengths": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: 4, 4\r\n\r\nabcd",
    "a length with a sign": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: +4\r\n\r\nabcd",
    "a length in hex": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Content-Length: 0x4\r\n\r\nabcd",
    "xchunked": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked with a tab": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a chunk length with a sign": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a huge chunk length": f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    "a line feed in a chunk extension": (
        f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nxx\r\n"
    ),
    "a trailer with an identity": (
        f"POST {MAPS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nImpersonate-User: system:admin\r\n\r\n"
    ),
    "bare line feeds": f"GET {MAPS} HTTP/1.1\n{HEAD}\n".replace("\r\n", "\n"),
    "a folded header": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X-A: b\r\n c\r\n\r\n",
    "a space before the colon": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X-A : b\r\n\r\n",
    "a space in a name": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X A: b\r\n\r\n",
    "an underscore in a name": f"GET {MAPS} HTTP/1.1\r\n{HEAD}Content_Length: 4\r\n\r\n",
    "a name that is empty": f"GET {MAPS} HTTP/1.1\r\n{HEAD}: b\r\n\r\n",
    "a NUL in a value": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X-A: b\x00c\r\n\r\n",
    "a carriage return in a value": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X-A: b\rc\r\n\r\n",
    "two hosts": f"GET {MAPS} HTTP/1.1\r\n{HEAD}Host: y\r\n\r\n",
    "no host": f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n".replace("Host: x\r\n", ""),
    "an absolute target": f"GET https://evil.example{MAPS} HTTP/1.1\r\n{HEAD}\r\n",
    "a space in the target": f"GET {MAPS} /x HTTP/1.1\r\n{HEAD}\r\n",
    "a tab for a space": f"GET\t{MAPS} HTTP/1.1\r\n{HEAD}\r\n",
    "HTTP/0.9": f"GET {MAPS}\r\n\r\n",
    "HTTP/1.0": f"GET {MAPS} HTTP/1.0\r\n{HEAD}\r\n",
    "HTTP/2 in plain": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a huge header": f"GET {MAPS} HTTP/1.1\r\n{HEAD}X-A: {'a' * 200_000}\r\n\r\n",
    "many headers": f"GET {MAPS} HTTP/1.1\r\n{HEAD}" + "".join(f"X-{n}: y\r\n" for n in range(20_000)) + "\r\n",
}


@case(23)
@pytest.mark.parametrize("name", list(CASES))
def test_what_could_be_two_requests_is_none(attacker: Attacker, arrived: Witness, name: str) -> None:
    raw = CASES[name].replace("{token}", attacker.token).replace("{agent}", attacker.agent) + INNER
    answered = codes(exchange(attacker, raw.encode("latin-1")))
    assert len(answered) <= 1
    assert set(answered) <= {400, 405, 413, 431, 505}
    assert arrived() == []


@case(23)
def test_what_follows_a_refusal_in_the_same_bytes_is_never_a_request(attacker: Attacker, arrived: Witness) -> None:
    good = f"GET {MAPS} HTTP/1.1\r\n{HEAD}\r\n".replace("{token}", attacker.token).replace("{agent}", attacker.agent)
    received = exchange(attacker, ("NONSENSE\r\n\r\n" + good * 3).encode())
    assert codes(received) == [400]
    assert arrived() == []

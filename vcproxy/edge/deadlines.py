"""How long a client may take for what it has to do. At any time its connection has one of these deadlines."""

from typing import Final

FIRST_BYTE: Final = 30.0
"""Seconds in which a new connection must begin a request."""
HEAD: Final = 15.0
"""Seconds in which a head that has begun must be whole."""
BODY: Final = 60.0
"""Seconds in which a body that is waited for must be whole."""
WRITE: Final = 60.0
"""Seconds in which a client that is behind must have read something."""
LEISURE: Final = 3600.0
"""The same for what people read at their own pace: `kubectl logs -f | less`."""
LINGER: Final = 2.0
"""Seconds for which a client may go on sending after its last answer, so that it can read that answer."""
NEVER: Final = float("inf")
"""The deadline where it is not the client's turn."""

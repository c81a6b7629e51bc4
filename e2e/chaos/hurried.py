"""vcproxy with less patience: the times that are no settings, shortened, so that no test waits for minutes.

`python -m e2e.chaos.hurried serve --config FILE`
"""

from types import ModuleType
from typing import Final

from vcproxy import server
from vcproxy.cli import main
from vcproxy.edge import deadlines
from vcproxy.host import audience

PATIENCE: Final = 4.0
"""Seconds in place of 10 to 60."""
SHORTENED: Final[tuple[tuple[ModuleType, str], ...]] = (
    (server, "HANDSHAKE"),
    (server, "SHUTDOWN"),
    (deadlines, "FIRST_BYTE"),
    (deadlines, "HEAD"),
    (deadlines, "BODY"),
    (deadlines, "WRITE"),
    (audience, "STALLED"),
)


def hurry() -> None:
    """Raises AttributeError where one of them is called otherwise by now."""
    for module, name in SHORTENED:
        getattr(module, name)
        setattr(module, name, PATIENCE)


if __name__ == "__main__":
    hurry()
    main()

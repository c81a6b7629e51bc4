"""`python -m vcproxy`."""

from vcproxy.cli import main

main()

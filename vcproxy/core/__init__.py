"""What vcproxy decides, without doing anything: pure functions over values.

Nothing here may open a socket, read a clock, log or wait; the import contracts in pyproject.toml say so.
"""

"""The host: the one real API server behind the proxy, how it is reached and what it serves.

No tenant's rights or names are decided here.
"""

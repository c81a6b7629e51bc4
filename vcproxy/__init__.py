"""vcproxy: one Kubernetes API server, and for each tenant the view of a cluster of its own."""

__version__ = "0.1.0"

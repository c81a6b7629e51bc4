"""A real Kubernetes on this machine: built from published modules, started, probed, stopped. For tests and people."""

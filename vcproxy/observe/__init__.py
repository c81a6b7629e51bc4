"""What people see of the running proxy: logs, metrics, health."""

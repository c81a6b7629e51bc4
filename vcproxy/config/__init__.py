"""The configuration: one versioned YAML file. What it says is typed here; nothing here opens, listens or connects."""

"""The Tenant resource: its live snapshot, and the controller that makes and removes what a tenant needs."""

"""The composition root: one running proxy, put together from its parts and taken apart again.

`proxy` wires; its neighbours build what one side of it needs. Nothing here decides anything about a request.
"""

"""The client's end of the wire: HTTP/1.1 over one connection. Of Kubernetes it knows the shape of a refusal."""

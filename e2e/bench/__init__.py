"""Figures: the API server direct, vcproxy, and a plain Go reverse proxy, interleaved in one run, TLS on both sides."""

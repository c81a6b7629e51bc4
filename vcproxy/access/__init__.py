"""Who is calling and what they may do: tokens, keys, certificates, rights inside a tenant."""

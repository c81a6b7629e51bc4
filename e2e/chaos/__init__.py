"""What must hold while things break."""

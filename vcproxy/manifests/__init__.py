"""What `vcproxy install` puts on the host, as files that people can read; config/README.md says what each is for."""

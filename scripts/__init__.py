"""Programs that make files of this repository from other projects' published data."""

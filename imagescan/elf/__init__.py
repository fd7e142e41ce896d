"""What a file is: ELF facts read from program headers."""

"""Images written in a few lines of YAML, and the proof of rule documents by them.

elf_writer  the smallest ELF file that says what an example says
notation    an example's image, read from its YAML
image       the notation turned into layers, and through the real rooms into ``ImageFacts``
selftest    every example of every document: must fail, must pass
"""

"""Small images for tests, made as rule examples are: written as layers, read by the real rooms."""

from __future__ import annotations

from imagescan.facts import ImageFacts
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import read_image
from imagescan.rules.yaml_reader import read_yaml


def facts_of(text: str) -> ImageFacts:
    """The facts of one image in the notation of rule examples."""
    return example_facts(read_image(read_yaml(text, "test")))

"""What an image's history can tell of its layers, and who wrote it.

An ``ImageManifest`` enters; a sentence leaves for a person who wonders why no instruction is named, and the
name of the tool that built the image. OCI image specification, config.md ("history"). The marks are
those that the builders leave: ``comment`` and ``author`` of history entries, labels, and the way in which
``created_by`` is written.
"""

from __future__ import annotations

from imagescan.patterns import pattern
from imagescan.sources.values import ImageConfig, ImageManifest

BUILDPACKS = "Cloud Native Buildpacks"

_MERGED = "merge sha256:"  # docker build --squash
_IMPORTED = "Imported from"  # docker import
_AUTHORS = {"kaniko": "Kaniko", "Jib": "Jib", "ko": "ko", "Bazel": "Bazel", "apko": "apko"}
_LABELS = {"io.buildpacks.lifecycle.metadata": BUILDPACKS, "io.buildah.version": "Buildah"}
_COMMENTS = {"buildkit.": "BuildKit", "apko": "apko", "store paths: ": "Nix"}
_LINES = (  # a word, which few lines have, and how those begin that have it
    ("jib", pattern(r"jib-\w+-plugin|jib:|jib-cli"), "Jib"),
    ("ko ", pattern(r"ko (?:build|publish) "), "ko"),
    ("bazel ", pattern(r"bazel build "), "Bazel"),
    ("apko", pattern(r"apko(?:\s|$)"), "apko"),
    ("#(nop)", pattern(r"(?:/bin/sh -c )?#\(nop\)"), "Docker's classic builder"),
)


def builder_of(config: ImageConfig) -> str:
    """The tool that wrote the newest lines of the history, "" where nothing tells."""
    for label, _ in config.labels:
        if label in _LABELS:
            return _LABELS[label]
    for entry in reversed(config.history):
        if entry.author in _AUTHORS:
            return _AUTHORS[entry.author]
        by_comment = (name for mark, name in _COMMENTS.items() if entry.comment.startswith(mark))
        line = entry.created_by
        by_line = (name for word, form, name in _LINES if word in line and form.match(line))
        found = next(by_comment, "") or next(by_line, "")
        if found:
            return found
    return ""


def history_note(manifest: ImageManifest) -> str:
    """Why the layers' instructions are not, or not all, those of a Dockerfile; "" where nothing is to say."""
    config, layers = manifest.config, len(manifest.layers)
    named = [entry for entry in config.history if not entry.empty_layer]
    if any(entry.comment.startswith(_MERGED) for entry in named):
        return "squashed: one layer has what several instructions did, so none of them can be named"
    if any(entry.comment.startswith(_IMPORTED) for entry in named):
        return "imported from an archive of files: the history does not say what made them"
    if not any(entry.created_by for entry in config.history):
        return _without_history(layers)
    if not manifest.history_aligned:
        return (
            f"the history names {_counted(len(named))} and the image has {_counted(layers)}: squashed, or put"
            " together by another tool, so no instruction is named"
        )
    unnamed = sum(not entry.created_by for entry in named)
    if unnamed:
        return f"the history says nothing of {_counted(unnamed)}"
    if builder_of(config) == BUILDPACKS:
        return "built by Cloud Native Buildpacks: layers are named by what is in them, not by instructions"
    return ""


def _without_history(layers: int) -> str:
    if layers == 1:
        return "one layer and no history: squashed, exported, or a plain tree of files"
    return f"{_counted(layers)} and no history, so no instruction is named"


def _counted(layers: int) -> str:
    return "1 layer" if layers == 1 else f"{layers} layers"

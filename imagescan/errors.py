"""Every exception that a caller of imagescan can meet.

    ImageScanError
    ├── UsageError              the words of the call are wrong
    ├── InvalidReference        an image name, digest or platform that is none
    ├── SourceError             the place that an image comes from
    │   ├── NotFound            no such image, tag, blob, file or platform
    │   ├── Unauthorized        no permission, or wrong credentials
    │   ├── RateLimited         told to come back later
    │   └── Unavailable         no answer, broken connection, server error
    ├── ImageFormatError        a manifest, index or config that breaks its specification
    │   └── UnsupportedImage    valid, but not a kind that can be read (schema 1, encrypted)
    ├── BlobError               bytes that are not what the manifest promised
    │   ├── DigestMismatch
    │   └── SizeMismatch
    ├── LayerError              a layer that cannot be read to its end
    │   ├── CorruptLayer        damaged compression or tar
    │   ├── UnsupportedCompression
    │   └── LimitExceeded       larger than a documented limit
    ├── MalformedBinary         a file inside the image that lies about itself
    ├── ChildLost               a process that imagescan works in was ended by somebody else
    └── RuleError               a rule document that is wrong

Each carries one sentence for the user that says what, where and what to do. Text that came
from an image or a server is made visible (control characters escaped) when it is shown,
not here.
"""

from __future__ import annotations


class ImageScanError(Exception):
    """The root. ``message`` is one line: what happened; ``where`` names image, layer or
    path; ``advice`` starts with a verb and says what to do, or is empty."""

    def __init__(self, message: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.advice})" if self.advice else text


class UsageError(ImageScanError):
    """The command line or configuration asks for something that does not exist."""


class InvalidReference(ImageScanError):
    """Text that is not an image reference, digest or platform."""


class SourceError(ImageScanError):
    """An image could not be had from where it was said to be."""


class NotFound(SourceError):
    """The image, tag, blob, file or platform does not exist there."""


class Unauthorized(SourceError):
    """The registry or engine refuses these credentials."""


class RateLimited(SourceError):
    """The registry asks to come back later, and kept asking."""


class Unavailable(SourceError):
    """No answer, a broken connection or a server error, after all retries."""


class ImageFormatError(ImageScanError):
    """A manifest, index, config or archive that breaks its specification."""


class UnsupportedImage(ImageFormatError):
    """A valid image of a kind that cannot be read, such as schema 1 or encrypted layers."""


class BlobError(ImageScanError):
    """The bytes of a blob are not the bytes that its descriptor promised."""


class DigestMismatch(BlobError):
    """The digest of the bytes differs from the descriptor's."""


class SizeMismatch(BlobError):
    """There are more or fewer bytes than the descriptor says."""


class LayerError(ImageScanError):
    """A layer that cannot be read to its end."""


class CorruptLayer(LayerError):
    """The compression or the tar structure of a layer is damaged."""


class UnsupportedCompression(LayerError):
    """A layer's media type or magic names a compression that cannot be read."""


class LimitExceeded(LayerError):
    """A layer or a file is larger than a documented limit."""


class MalformedBinary(ImageScanError):
    """An ELF file inside the image that lies about itself or is cut short."""


class ChildLost(ImageScanError):
    """A process that imagescan works in was ended from outside, as when memory runs out."""


class RuleError(ImageScanError):
    """A rule document is wrong; ``where`` names the file."""

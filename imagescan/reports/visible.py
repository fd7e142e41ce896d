"""Make text from a hostile image safe to show: every invisible or steering character is escaped.

Text of any origin enters, printable text leaves. Terminals act on control characters (ECMA-48),
Unicode's bidirectional controls reorder what is read (UAX #9), and zero-width characters make
different names look equal (UTS #39).
"""

from __future__ import annotations

from imagescan.patterns import pattern

# Cc control, Cf format (bidirectional and zero-width), Cs surrogate, Co private use,
# Cn unassigned, Zl and Zp line and paragraph separators.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point beyond those above).
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0}
    | set(range(0xFE00, 0xFE10))  # variation selectors
    | set(range(0xE0100, 0xE01F0))
)
_PLAIN = pattern(r"[ -~]*")
_SURROGATE = pattern("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with each character that a terminal or reader could not show written as an escape.

    A byte that was not UTF-8 (kept by surrogateescape) becomes ``\xff``, a control character
    ``\x1b``, others ``\u202e``. The result is one line. A space other than U+0020 is escaped too.
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(map(_visible_character, text))


def without_surrogates(text: str) -> str:
    r"""The text with lone surrogates written as ``\xff`` or ``\ud800``, so that any JSON reader or
    UTF-8 encoder takes it; everything else unchanged."""
    if text.isascii():
        return text
    return _SURROGATE.sub(lambda match: _escape(ord(match.group())), text)


def _visible_character(character: str) -> str:
    from unicodedata import category as category_of  # a megabyte of tables that plain text does not need

    code = ord(character)
    category = category_of(character)
    if category in _ESCAPED_CATEGORIES or code in _INVISIBLE or (category == "Zs" and code != 0x20):
        return _escape(code)
    return character


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

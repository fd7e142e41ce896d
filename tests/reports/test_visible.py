import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from imagescan.reports.visible import visible, without_surrogates


def test_plain_text_and_letters_of_any_language_stay() -> None:
    assert visible("/usr/lib/libé-日本.so [red]") == "/usr/lib/libé-日本.so [red]"


def test_escape_sequences_of_terminals_are_written_out() -> None:
    assert visible("\x1b[2Ja\x07\x9b31m\r\n\x7f") == "\\x1b[2Ja\\x07\\x9b31m\\x0d\\x0a\\x7f"


def test_characters_that_reorder_or_hide_text_are_written_out() -> None:
    assert visible("a\u202eb\u200bc\u2028\ufeff\U000e0041") == "a\\u202eb\\u200bc\\u2028\\ufeff\\U000e0041"


def test_letters_that_are_drawn_as_nothing_or_as_a_space_are_written_out() -> None:
    assert visible("a\u3164b\ufe0fc\u00a0d") == "a\\u3164b\\ufe0fc\\xa0d"


def test_a_byte_that_was_not_utf_8_is_written_as_that_byte() -> None:
    assert visible(b"a\xffb".decode("utf-8", "surrogateescape")) == "a\\xffb"
    assert visible("\ud800") == "\\ud800"


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")


@given(st.text(st.characters()))
def test_only_surrogates_are_replaced_for_json(text: str) -> None:
    replaced = without_surrogates(text)
    replaced.encode("utf-8")
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert replaced == text

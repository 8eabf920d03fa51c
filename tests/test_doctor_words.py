"""What the doctor says, in its two languages."""

from __future__ import annotations

import re

from assistant.clients.faults import connection_error
from assistant.doctor_words import WORDS, error_in_spanish


def test_in_spanish_an_authority_that_is_not_trusted_names_the_variable() -> None:
    error = connection_error(OSError("CERTIFICATE_VERIFY_FAILED"), model=None, region=None, shown=False, headers=False)
    text, step = error_in_spanish(error)
    assert ("CERTIFICATE_VERIFY_FAILED" in text, "AWS_CA_BUNDLE" in step) == (True, True)


def test_every_word_has_both_languages() -> None:
    for key, (english, spanish) in WORDS.items():
        assert english, key
        assert spanish, key
        names = [sorted(re.findall(r"{\w+}", text)) for text in (english, spanish)]
        assert names[0] == names[1], key

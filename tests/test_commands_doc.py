"""docs/COMMANDS.md and the man pages are what the parser says today."""

import pytest
from support.commands_doc import COMMANDS, MAN, pages

PAGES = pages()


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.name)
def test_the_page_is_up_to_date(path):
    assert path.read_text() == PAGES[path], "run bin/docs"


def test_no_page_is_left_over():
    assert {*MAN.glob("*.1"), COMMANDS} == set(PAGES)

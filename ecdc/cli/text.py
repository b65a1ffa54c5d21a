"""Text that comes from elsewhere, made fit for a terminal."""

import re

# Control characters, and what changes the direction of text or cannot be seen.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text, which may come from anywhere, with escapes such as \\x1b for what a terminal would act upon."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

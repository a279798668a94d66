"""The dialect of Markdown in which the documents are written: GitHub's."""

from markdown import Markdown
from markdown.extensions import Extension


class NestedByTwoSpaces(Extension):
    """Has two spaces nest a list, as on GitHub; four are Python-Markdown's default."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the base's name
        """Set the width."""
        md.tab_length = 2

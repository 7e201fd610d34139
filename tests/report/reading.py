"""Reads a page as a browser would: tags, attributes, scripts, text."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """What an HTML text holds; entities are resolved, scripts are kept apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None
        if tag in ("td", "th", "li", "p"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside is None:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is written on the page, white space made single."""
        return " ".join("".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of one name."""
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def code(self) -> list[str]:
        """The scripts that run."""
        return [text for attrs, text in self.scripts if attrs.get("type") != "application/json"]

    @property
    def charts(self) -> dict[str, dict]:
        """The data of each figure by its id."""
        found = [(attrs, text) for attrs, text in self.scripts if attrs.get("type") == "application/json"]
        return {str(attrs["id"]): json.loads(text) for attrs, text in found}

"""The study's page: its Markdown as one HTML file that needs no other file, no network, and runs nothing."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

from ..templates import printable, render_page


def render_html(title: str, markdown: str, figures: Mapping[str, str]) -> str:
    """Return a Markdown page as HTML. `figures` has the SVG that stands in place of each of its pictures, by name.

    HTML and links in the Markdown are shown as text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["autolink", "link", "reference"])
    parser.add_render_rule("image", _figure)
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    body = parser.render(markdown, {"figures": figures})
    return render_page("study_page.html.jinja", title=printable(title), body=body)


def _figure(_: Any, tokens: Sequence[Any], index: int, options: Any, env: Mapping[str, Any]) -> str:
    alternative = escapeHtml(tokens[index].content)
    svg = env["figures"].get(unquote(tokens[index].attrs["src"]))
    if svg is None:
        return alternative
    picture = svg[svg.index("<svg") :]  # without the head of an XML file
    return f'<span class="scroll" tabindex="0" role="img" aria-label="{alternative}">{picture}</span>'

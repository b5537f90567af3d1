"""Pages and cards rendered from the Jinja templates in `cards/`, and the text of others in them."""

import re
from typing import Any

from jinja2 import Environment, StrictUndefined

from .files import resource


def render_page(template: str, **variables: Any) -> str:
    """Return the page of a template in `cards/`. An undefined variable is an error, not a gap."""
    environment = Environment(undefined=StrictUndefined)
    environment.filters |= {"code": code, "fenced": fenced, "line": one_line, "printable": printable}
    return environment.from_string(resource(f"cards/{template}").read_text(encoding="utf-8")).render(variables)


def render_card(card: type[Any], data: Any, template: str, **variables: Any) -> Any:
    """Return a card of huggingface_hub: its front matter from `data`, its text as `render_page` gives it.

    `card.from_template` would leave a gap for an undefined variable.
    """
    return card(render_page(template, card_data=data.to_yaml(), **data.to_dict() | variables))


def printable(text: str) -> str:
    """Escape what would move the cursor, change colors or reorder the text of a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def code(text: Any) -> str:
    """Return a name as a Markdown code span that fits in a table's cell."""
    return "`" + printable(str(text)).replace("\n", " ").replace("`", "'").replace("|", "\\|") + "`"


def fenced(text: str) -> str:
    """Return a text as a Markdown code block that nothing in it can close."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}text\n{printable(text)}\n{fence}"


def one_line(text: str) -> str:
    """Return a message as Markdown that stays in its line. Its code spans are kept, its HTML is shown as text."""
    return printable(text).replace("\n", " ").replace("<", "\\<")


def aligned(table: str) -> str:
    """Return a Markdown table with columns of equal width, for a terminal."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows[1] = ["-" * (width - 1) + cell[-1] for cell, width in zip(rows[1], widths)]
    to_right = [cell.endswith(":") for cell in rows[1]]
    cells = ((c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, to_right)) for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)

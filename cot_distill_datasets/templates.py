"""Pages and cards rendered from the Jinja templates in `cards/`."""

from typing import Any

from jinja2 import Environment, StrictUndefined

from .files import resource


def render_page(template: str, **variables: Any) -> str:
    """Return the page of a template in `cards/`. An undefined variable is an error, not a gap."""
    page = Environment(undefined=StrictUndefined).from_string(
        resource(f"cards/{template}").read_text(encoding="utf-8")
    )
    return page.render(variables)


def render_card(card: type[Any], data: Any, template: str, **variables: Any) -> Any:
    """Return a card of huggingface_hub: its front matter from `data`, its text as `render_page` gives it.

    `card.from_template` would leave a gap for an undefined variable.
    """
    return card(render_page(template, card_data=data.to_yaml(), **data.to_dict() | variables))

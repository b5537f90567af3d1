"""The environment variables that the Hugging Face libraries read when they are imported."""

from urllib.parse import urlsplit

from .errors import CotDistillError


def check_environment() -> None:
    """Raise CotDistillError if `HF_ENDPOINT` is not an address, or huggingface_hub cannot read another variable."""
    try:
        from huggingface_hub.constants import ENDPOINT

        url = urlsplit(ENDPOINT)
        is_address = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError as error:  # a port, an IPv6 address, a number of seconds
        raise CotDistillError(
            f"huggingface_hub cannot read one of the environment variables `HF_…` ({error}): correct or unset it."
        ) from error
    if not is_address or not ENDPOINT.isprintable() or " " in ENDPOINT:
        raise CotDistillError(
            f"The environment variable HF_ENDPOINT is {ENDPOINT!r}, which is not an address: unset it, or set it to "
            "https://huggingface.co."
        )

"""The rows that a student learns from: of one config or of a mixture, of a release folder or of the Hub."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetsError

from .build import build
from .mixtures import Mixture, mix
from .release import Release, read_release
from .taxonomy import RELEASE_NAME, ConfigName, CotDistillError, nearest


def load_mixture(name: str, mixture: Mixture, revision: str | None = None, *, seed: int) -> Dataset:
    """Return the rows of a mixture of the configs of `name`, see `load_training_rows` and `mix`."""
    return mix([load_training_rows(name, str(config), revision) for config in mixture.configs], mixture, seed=seed)


def load_training_rows(name: str, config: str, revision: str | None = None) -> Dataset:
    """Return the training rows of a config, from the release folder `name` or the Hub dataset `name`.

    Where nothing was built yet under the release's own name, a config of `arith` is built first. `revision` is one of
    the Hub; a folder holds one edition, and must hold that one.

    Raises:
        CotDistillError: the release has no such config, no rows in it, or is of another edition; or there is neither
            a folder nor a Hub dataset of that name.
    """
    parsed, release = ConfigName.parse(config), read_release(Path(name))
    if release is None and name == RELEASE_NAME and parsed.benchmark == "arith":
        release = build(Path(name))
    if release is not None:
        _check(release, name, str(parsed), revision)
    try:
        return load_dataset(name, str(parsed), split="train", revision=None if release else revision)
    except OSError as error:  # not found, or the Hub cannot be reached
        raise CotDistillError(
            f"There is no release in {name}, and the Hub does not give `{parsed}`: run `cot-distill build` first."
        ) from error
    except ValueError as error:  # an empty split, or no such config
        raise CotDistillError(f"{name} has no training rows of `{parsed}`: {error}") from error
    except DatasetsError as error:  # a broken file, a full disk
        reason = error.__cause__ or error
        raise CotDistillError(f"The rows of `{parsed}` in {name} cannot be read or cached: {reason}") from error


def rows_hash(rows: Dataset) -> str:
    """Return the SHA-256 over what a student reads, in the order in which it stands."""
    whole = sha256()
    for row in rows.select_columns(["prompt", "completion"]):
        whole.update(repr(row).encode())
    return whole.hexdigest()


def _check(release: Release, name: str, config: str, revision: str | None) -> None:
    known = [stats.name for stats in release.training]
    if config not in known:
        raise CotDistillError(f"{name} has no config {config!r}: use {nearest(config, known)}.")
    if revision not in (None, release.revision, release.tag):
        raise CotDistillError(
            f"The folder {name} holds the edition `{release.edition}` (`{release.revision}`, {release.tag}), and "
            f"`dataset_revision` asks for {revision!r}: build that edition, give its folder as `--dataset_name`, or "
            "leave `dataset_revision` out."
        )

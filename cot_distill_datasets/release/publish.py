"""`cot-distill publish`: a release folder becomes one commit and a tag of a Hub dataset repo.

    cot-distill publish --repo-id eit/cot-distill --dry-run

The edition `clean` goes to `main` (tag `v0.1.0`), `paper` to the branch `paper` (`v0.1.0-paper`), `aligned` likewise.
"""

from pathlib import Path

from ..errors import CotDistillError
from ..files import locked
from ..hub import Publication, Target, check_repo_id, publish_folder
from .audit import passed
from .folder import INDEX, require_release


def publish(folder: Path, repo_id: str, *, dry_run: bool = False) -> Publication:
    """Make the Hub dataset `repo_id` hold the release in `folder`, at the revision of its edition.

    Raises CotDistillError, with no file on the Hub changed, if `folder` is not a release or did not pass its audit, or
    the Hub rejects it.
    """
    folder = folder.resolve()
    require_release(folder)  # before the lock creates a file beside a folder that is not a release
    check_repo_id(repo_id)
    with locked(folder):
        if not passed(folder):  # under the lock: a build in between would publish rows that were not audited
            raise CotDistillError(
                f"{folder} was not audited since it changed, or breaks a promise of its edition: run "
                f"`cot-distill audit {folder}` first."
            )
        release = require_release(folder)
        target = Target(repo_id, "dataset", release.edition.revision, INDEX, release.tag)
        return publish_folder(folder, target, dry_run=dry_run)

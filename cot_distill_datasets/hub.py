"""Publish a release folder: one edition becomes one commit on its revision of a Hub dataset repo, then a tag.

    cot-distill publish --repo-id eit/cot-distill --dry-run

`clean` goes to `main` (tag `v0.1.0`), `paper` to the branch `paper` (`v0.1.0-paper`), `aligned` likewise. The tag is
last: where it is, the release is whole. A run cut off shows all of its files or none, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from json import JSONDecodeError
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from .audit import passed
from .folders import locked
from .release import INDEX, Release, existing_release
from .taxonomy import CotDistillError


_REFUSALS = {
    401: "the Hub does not know you: run `hf auth login` with a token that may write there",
    403: "the Hub does not let your token do this: use one that may write there",
    404: "the Hub shows your token no such dataset: check the name, and what the token may read",
    409: "somebody else made it meanwhile, or it is hidden from your token: look at it, then run this again",
    412: "somebody else committed meanwhile, and their commit stands: look at it, then run this again",
    429: "the Hub has had too many requests from you: wait some minutes, then run this again",
}
_NO_ANSWER = "the Hub gives no proper answer: run this again later, it goes on from what is there"


@dataclass(frozen=True)
class Published:
    """What was done, or with `dry_run` would be. Without steps the release was there."""

    revision: str
    tag: str
    steps: list[tuple[str, str]]  # in order: ("create", "eit/x"), ("add", "README.md"), …, ("tag", "v0.1.0")
    commit: str = ""  # the one that is the release; in a plan the one to build on, empty where there is no repo
    unfinished: str | None = None  # why the commit has no tag


def publish(folder: Path, repo_id: str, *, dry_run: bool = False) -> Published:
    """Make the Hub dataset `repo_id` hold the release in `folder`, at the revision of its edition.

    Raises:
        CotDistillError: `folder` is no release or did not pass its audit, its tag names other files, or the Hub
            refuses; no file there changed.
    """
    folder = folder.resolve()
    existing_release(folder)  # before a lock is laid beside something else
    if repo_id.count("/") != 1:
        raise CotDistillError(f"{repo_id!r} names no dataset of the Hub: give USER/NAME as --repo-id.")
    with _one_sentence(repo_id), locked(folder):
        if not passed(folder):  # under the lock: a build in between would bring rows that nobody audited
            raise CotDistillError(
                f"{folder} was not audited as it lies there, or breaks a promise of its edition: "
                f"run `cot-distill audit {folder}` first."
            )
        plan = _plan(HfApi(), folder, repo_id, existing_release(folder))
        return plan if dry_run or not plan.steps else _carry_out(HfApi(), folder, repo_id, plan)


def _plan(api: HfApi, folder: Path, repo_id: str, release: Release) -> Published:
    """Compare the folder with the Hub, and write nothing.

    Raises:
        CotDistillError: the release's tag names other files, or its revision holds something else.
    """
    revision, tag = release.revision, release.tag
    try:
        refs = api.list_repo_refs(repo_id, repo_type="dataset")
        branches, tags = ({ref.name: ref.target_commit for ref in kind} for kind in (refs.branches, refs.tags))
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:  # what the Hub tells a stranger, whether the repo is there or not
            raise
        branches, tags = {}, {}
    if tag in tags and _changes(api, folder, repo_id, tags[tag]):
        raise CotDistillError(
            f"{tag} of {repo_id} names other files than those in {folder}, and a release is never changed: "
            "raise the version of the package, then build and publish again."
        )
    if tag in tags and revision in branches:  # which may have moved on: an old release does not take newer rows back
        return Published(revision, tag, [], tags[tag])
    created = [] if branches else [("create", repo_id)]
    created += [("create", revision)] if revision not in branches and revision != "main" else []
    base = branches.get(revision) or (_first_commit(api, repo_id) if branches else "")
    changes = _changes(api, folder, repo_id, base) if base else [("add", path) for path in sorted(_files(folder))]
    if ("add", INDEX) in changes and any(verb == "delete" for verb, _ in changes):
        raise CotDistillError(
            f"{repo_id} holds something else than a release at `{revision}`: give another --repo-id, or empty it."
        )
    return Published(revision, tag, [*created, *changes, *([] if tag in tags else [("tag", tag)])], base)


def _first_commit(api: HfApi, repo_id: str) -> str:
    """Return the commit that a new branch starts at: the Hub's own, which holds .gitattributes alone.

    From the head of `main` it would show another edition's rows until ours come, for ever if we are killed before.
    (If the history of `main` was squashed there is no such commit, and it does; the next run puts that right.)
    """
    return api.list_repo_commits(repo_id, repo_type="dataset")[-1].commit_id


def _changes(api: HfApi, folder: Path, repo_id: str, commit: str) -> list[tuple[str, str]]:
    """Return what makes the files of `commit` those of the folder."""
    found = api.verify_repo_checksums(repo_id, repo_type="dataset", revision=commit, local_dir=folder)
    files = _files(folder)
    added = [("add", path) for path in found.extra_paths if path in files]
    replaced = [("replace", item["path"]) for item in found.mismatches if item["path"] in files]
    return [*added, *replaced, *(("delete", path) for path in found.missing_paths if path != ".gitattributes")]


def _files(folder: Path) -> set[str]:
    """Return the files of a release; hidden ones are half-written, or a lock."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)}


def _carry_out(api: HfApi, folder: Path, repo_id: str, plan: Published) -> Published:
    """Do the steps of a plan, all changes of files in one commit: `upload_folder` may split them over several."""
    base = plan.commit
    if ("create", repo_id) in plan.steps:
        api.create_repo(repo_id, repo_type="dataset")
        base = _first_commit(api, repo_id)
    if ("create", plan.revision) in plan.steps:
        api.create_branch(repo_id, branch=plan.revision, revision=base, repo_type="dataset")
    operations = [
        CommitOperationDelete(path) if verb == "delete" else CommitOperationAdd(path, folder / path)
        for verb, path in plan.steps
        if verb in ("add", "replace", "delete")
    ]
    if operations:
        base = api.create_commit(
            repo_id, operations, repo_type="dataset", revision=plan.revision,
            commit_message=f"Release {plan.tag}", parent_commit=base,
        ).oid  # fmt: skip
    try:
        with _one_sentence(repo_id):
            if ("tag", plan.tag) in plan.steps:
                api.create_tag(repo_id, tag=plan.tag, revision=base, repo_type="dataset")
    except CotDistillError as error:  # too late to say that nothing was done
        return replace(plan, commit=base, unfinished=f"the tag {plan.tag}. {error}")
    return replace(plan, commit=base)


@contextmanager
def _one_sentence(repo_id: str) -> Iterator[None]:
    """Turn what the Hub and its client complain of into one sentence that says what to do.

    The cause is left out: a header that the client cannot send is quoted in its error, and that may be the token.
    """
    try:
        yield
    except CotDistillError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError) as raised:
        error = raised.__cause__ if isinstance(raised, RuntimeError) and raised.__cause__ else raised  # of an upload
        reason = " ".join(str(error).split()).removesuffix(".")
        if isinstance(error, HTTPError | JSONDecodeError):  # no answer, or a proxy's page
            reason = _NO_ANSWER
        if isinstance(error, HfHubHTTPError) and (status := error.response.status_code) < 500:
            reason = _REFUSALS.get(status) or f"the Hub refuses ({status}): {error.server_message}"
        raise CotDistillError(f"{repo_id}: {reason}.") from None

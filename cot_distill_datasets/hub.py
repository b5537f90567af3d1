"""Publish a folder to a Hub repo: one commit on one revision, then a tag. Collect published repos.

The tag is the last step: a tagged revision is complete. If a run is interrupted, the Hub shows all of its files or
none, and the next run continues from there. This module is independent of datasets and students.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from json import JSONDecodeError
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, NamedTuple

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, set_client_factory
from huggingface_hub.constants import EVAL_RESULTS_FOLDER
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils._http import hf_request_event_hook
from huggingface_hub.utils._validators import validate_repo_id

from .errors import CotDistillError
from .messages import count, message


_REJECTIONS = {
    401: "not logged in: run `hf auth login` with a token that has write access",
    403: "the token has no write access: use one that has",
    404: "the repo does not exist or the token cannot see it: check the name and the token's read access",
    409: "the repo already exists or the token cannot see it: look at it, then run this again",
    412: "another commit was made in the meantime and was kept: look at it, then run this again",
    429: "too many requests: wait some minutes, then run this again",
}
_AGAIN = "check the network and run this again, it continues where it stopped"
_NO_ANSWER = f"no proper answer from the Hub: {_AGAIN}"
# What the client raises if the Hub, or a proxy, sends anything but the JSON that it reads without a check.
_IMPROPER = (
    httpx2.HTTPError, httpx2.InvalidURL, JSONDecodeError, UnicodeDecodeError, AttributeError, LookupError, TypeError,
)  # fmt: skip
_SECONDS = int(os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT") or 8)  # that the Hub may be silent
_PAUSE = 60  # seconds until a silent host is asked again


class _Client(httpx2.Client):
    """The Hub's client, which ends within a minute if a host is silent.

    huggingface_hub 2.4 sets no limit for most requests, repeats others up to six times, and after each failure asks
    in another way. Here every request has a limit, and a silent host is not asked again for a minute. To the Hugging
    Face libraries that is like being offline: they repeat nothing, and read what is in the cache.
    """

    silent_until: ClassVar[dict[bytes, float]] = {}  # by host

    def __init__(self) -> None:
        super().__init__(event_hooks={"request": [hf_request_event_hook]}, follow_redirects=True)

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        seconds = _SECONDS if request.method in ("GET", "HEAD") else 4 * _SECONDS  # a commit takes longer
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
        host = request.url.netloc
        try:
            if monotonic() > self.silent_until.get(host, 0):
                return super().send(request, **options)
        except httpx2.TimeoutException:
            self.silent_until[host] = monotonic() + _PAUSE
        raise OfflineModeIsEnabled(f"{host.decode()} does not answer: {_AGAIN}")


def limit_waits() -> None:
    """Let the Hugging Face libraries wait at most a minute for a host that accepts a request and never answers."""
    set_client_factory(_Client)


@dataclass(frozen=True)
class Target:
    """Where a folder goes: `index` is the file whose presence on the Hub means that the repo already holds one.

    Without a `tag`, it is the number of the publication: `v1`, `v2`, …
    """

    repo_id: str
    repo_type: str
    revision: str
    index: str
    tag: str = ""


@dataclass(frozen=True)
class Publication:
    """The steps that were carried out, or are planned. Without steps, the Hub already had everything."""

    target: Target
    steps: list[tuple[str, str]]  # in order: ("create", "eit/x"), ("add", "README.md"), …, ("tag", "v0.1.0")
    commit: str = ""  # the commit that holds the folder; in a plan its parent, empty if the repo does not exist
    unfinished: str | None = None  # why the commit has no tag


class Collection(NamedTuple):
    """A collection on the Hub, with the steps that were carried out, or are planned."""

    slug: str  # USER/TITLE-ID; empty in a plan that creates it
    steps: list[tuple[str, str]]


def check_repo_id(repo_id: str) -> None:
    """Check that a repo id has an owner and a name that the Hub allows. Raises CotDistillError if it does not."""
    if repo_id.count("/") != 1:
        raise CotDistillError(f"{repo_id!r} is not the name of a Hub repo: pass USER/NAME as --repo-id.")
    with _one_sentence(repo_id):
        validate_repo_id(repo_id)


def publish_folder(folder: Path, target: Target, *, dry_run: bool = False) -> Publication:
    """Make the Hub repo hold the files of `folder` at the target's revision, in one commit and a tag.

    Raises CotDistillError, with no file on the Hub changed, if the tag exists with other files, the revision holds
    something else, or the Hub rejects a request.
    """
    limit_waits()
    with _one_sentence(target.repo_id):
        plan = _plan(HfApi(), folder, target)
        return plan if dry_run or not plan.steps else _carry_out(HfApi(), folder, plan)


def _plan(api: HfApi, folder: Path, target: Target) -> Publication:
    """Compare the folder with the Hub, and write nothing."""
    repo_id, revision = target.repo_id, target.revision
    try:
        refs = api.list_repo_refs(repo_id, repo_type=target.repo_type)
        branches, tags = ({ref.name: ref.target_commit for ref in kind} for kind in (refs.branches, refs.tags))
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:  # the Hub's answer without a login, whether the repo exists or not
            raise
        branches, tags = {}, {}
    if not target.tag:
        target = replace(target, tag=_numbered_tag(api, folder, target, tags))
    elif target.tag in tags and _changes(api, folder, target, tags[target.tag]):
        raise CotDistillError(
            f"{target.tag} of {repo_id} already exists with other files than those in {folder}, and a release never "
            "changes: raise the version of the package, then build and publish again."
        )
    tag = target.tag
    if tag in tags and revision in branches:  # the branch may be newer: an old release must not reset it
        return Publication(target, [], tags[tag])
    created = [] if branches else [("create", repo_id)]
    created += [("create", revision)] if revision not in branches and revision != "main" else []
    base = branches.get(revision) or (_first_commit(api, target) if branches else "")
    changes = _changes(api, folder, target, base) if base else [("add", path) for path in sorted(_files(folder))]
    if ("add", target.index) in changes and any(verb == "delete" for verb, _ in changes):
        raise CotDistillError(
            f"{repo_id} has other files at `{revision}`, without {target.index}: pass another --repo-id, or empty it."
        )
    return Publication(target, [*created, *changes, *([] if tag in tags else [("tag", tag)])], base)


def _numbered_tag(api: HfApi, folder: Path, target: Target, tags: Mapping[str, str]) -> str:
    """Return the latest of the tags `v1`, `v2`, … if it has the files of the folder, else the next one."""
    latest = max((int(tag[1:]) for tag in tags if re.fullmatch(r"v[0-9]+", tag)), default=0)
    is_new = not latest or _changes(api, folder, target, tags[f"v{latest}"])
    return f"v{latest + 1 if is_new else latest}"


def _first_commit(api: HfApi, target: Target) -> str:
    """Return the commit that a new branch starts at: the Hub's first one, which holds only .gitattributes.

    A branch from the head of `main` would show another edition's rows until the commit, and after a kill until the
    next run. (It does if the history of `main` was squashed.)
    """
    return api.list_repo_commits(target.repo_id, repo_type=target.repo_type)[-1].commit_id


def _changes(api: HfApi, folder: Path, target: Target, commit: str) -> list[tuple[str, str]]:
    """Return the steps that turn the files of `commit` into those of the folder."""
    report = api.verify_repo_checksums(target.repo_id, repo_type=target.repo_type, revision=commit, local_dir=folder)
    if not (report.checked_count or report.missing_paths):  # or a proxy's `{}` would make a repo look empty
        raise CotDistillError(f"{target.repo_id} lists no files, not even .gitattributes: run this again.")
    files = _files(folder)
    added = [("add", path) for path in report.extra_paths if path in files]
    replaced = [("replace", item["path"]) for item in report.mismatches if item["path"] in files]
    return [*added, *replaced, *(("delete", path) for path in report.missing_paths if path != ".gitattributes")]


def _files(folder: Path) -> set[str]:
    """Return the files to publish. Hidden ones are half-written, or locks, but for the scores of leaderboards."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(map(_is_hidden, path.parts))}


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != EVAL_RESULTS_FOLDER


def _carry_out(api: HfApi, folder: Path, plan: Publication) -> Publication:
    """Carry out a plan. All file changes are one commit; `upload_folder` may split them over several."""
    target, base = plan.target, plan.commit
    repo_id, repo_type = target.repo_id, target.repo_type
    if ("create", repo_id) in plan.steps:
        api.create_repo(repo_id, repo_type=repo_type)
        base = _first_commit(api, target)
    if ("create", target.revision) in plan.steps:
        api.create_branch(repo_id, branch=target.revision, revision=base, repo_type=repo_type)
    operations = [
        CommitOperationDelete(path) if verb == "delete" else CommitOperationAdd(path, folder / path)
        for verb, path in plan.steps
        if verb in ("add", "replace", "delete")
    ]
    if operations:
        message(f"Uploading {count(len(operations), 'change')} to {repo_id}.")
        base = api.create_commit(
            repo_id, operations, repo_type=repo_type, revision=target.revision,
            commit_message=f"Release {target.tag}", parent_commit=base,
        ).oid  # fmt: skip
    try:
        with _one_sentence(repo_id):
            if ("tag", target.tag) in plan.steps:
                api.create_tag(repo_id, tag=target.tag, revision=base, repo_type=repo_type)
                if target.tag not in [ref.name for ref in api.list_repo_refs(repo_id, repo_type=repo_type).tags]:
                    raise CotDistillError(f"{repo_id}: {_NO_ANSWER}.")  # the client reads no answer to a tag
    except CotDistillError as error:  # the commit exists: "nothing changed" would be wrong
        return replace(plan, commit=base, unfinished=f"the tag {target.tag}. {error}")
    return replace(plan, commit=base)


def publish_collection(owner: str, title: str, items: Mapping[str, str], *, dry_run: bool = False) -> Collection:
    """Make the collection `title` of a user or organization hold `items`, repo id → repo type. No item is removed.

    Raises CotDistillError if the Hub rejects a request. The next run continues from there.
    """
    limit_waits()
    api, name = HfApi(), f"{owner}/{title}"
    with _one_sentence(name):
        slugs = [found.slug for found in api.list_collections(owner=owner) if found.title == title]
        slug = slugs[0] if slugs else ""
        present = {(item.item_id, item.item_type) for item in api.get_collection(slug).items} if slug else set()
    missing = {item: kind for item, kind in items.items() if (item, kind) not in present}
    steps = [*([] if slug else [("create", name)]), *(("add", item) for item in missing)]
    if not dry_run:
        with _one_sentence(name):
            slug = slug or api.create_collection(title, namespace=owner).slug
        for item, kind in missing.items():
            with _one_sentence(item):
                api.add_collection_item(slug, item, kind, exists_ok=True)  # type: ignore[arg-type]
    return Collection(slug, steps)


@contextmanager
def _one_sentence(repo_id: str) -> Iterator[None]:
    """Turn the errors of the Hub and its client into one sentence with a way out.

    The cause is dropped: the client's errors quote headers that it cannot send, and one of them may be the token.
    """
    try:
        yield
    except CotDistillError:
        raise
    except (*_IMPROPER, OSError, RuntimeError, ValueError) as raised:
        error = raised.__cause__ if isinstance(raised, RuntimeError) and raised.__cause__ else raised  # an upload
        reason = " ".join(str(error).split()).removesuffix(".")
        if isinstance(error, _IMPROPER):
            reason = _NO_ANSWER
        if isinstance(error, HfHubHTTPError) and 400 <= (status := error.response.status_code) < 500:
            reason = _REJECTIONS.get(status) or f"the Hub rejected the request ({status}): {error.server_message}"
        raise CotDistillError(f"{repo_id}: {reason}.") from None

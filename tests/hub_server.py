"""A stand-in for the Hub over HTTP: datasets, models and collections, with only the calls of publishing and loading.

A commit is a snapshot, path → sha256 of the content. Parquet and safetensors are stored by LFS, other files in the
commit itself. A dataset is stored under its repo id, a model under `models/` and its repo id.

with HubServer() as hub:
    hub.add_repo("openai/gsm8k", {"README.md": b"...", "main/test-0.parquet": b"..."})
    subprocess.run([...], env=hub.environment(tmp_path))
"""

import base64
import json
import os
import re
import threading
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


TOKEN, READ_TOKEN = "hf_mayWriteAndMustNeverBeSeen", "hf_mayReadAndMustNeverBeSeen"
LFS = (".parquet", ".safetensors")
_CALL = re.compile(  # of the whole Hub, or of one repo; the URL of a model's file has no kind
    r"(?:/api)?/(?P<other>repos|validate|lfs|collections)(?:[/-](?P<name>\w+(?:/[\w-]+)??))?(?:/(?P<verb>verify|items))?"
    r"|(?:/api)?/(?:(?P<kind>datasets|models)/)?(?P<repo>[^/]+/[^/]+?)(?:\.git/info/lfs/objects)?/(?P<call>\w+)"
    r"(?:/(?P<rev>[^/]+)(?:/(?P<path>.+))?)?"
)


class Rejected(Exception):
    """A response with an error status, and the headers that the client reads."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        self.status, self.headers = status, {"X-Error-Message": message, "X-Error-Code": code, **headers}


@dataclass(frozen=True)
class Commit:
    id: str
    parents: tuple["Commit", ...]  # all ancestors, the newest first
    files: dict[str, str]


@dataclass
class Repo:
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, str]) -> Commit:
        parents = (self.branches[branch], *self.branches[branch].parents) if self.branches else ()
        name = sha1(json.dumps([[parent.id for parent in parents], files]).encode()).hexdigest()
        self.commits[name] = self.branches[branch] = Commit(name, parents, files)
        return self.commits[name]

    def find(self, revision: str) -> Commit:
        if revision not in (commits := self.commits | self.tags | self.branches):
            raise Rejected(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commits[revision]


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, Repo] = {}
        self.collections: dict[str, dict[str, Any]] = {}  # by slug
        self.blobs: dict[str, bytes] = {}
        self.expected: set[str] = set()  # LFS objects that may be uploaded; as on the Hub, their URL needs no token
        self.faults: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.lock, self.reached, self.released = threading.RLock(), threading.Event(), threading.Event()

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def environment(self, home: Path, **changes: str) -> dict[str, str]:
        """Return the variables of a process whose Hub is this one, with its cache in `home`."""
        inherited = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
        client = {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
        return inherited | client | changes

    def add_repo(self, repo_id: str, files: dict[str, bytes] | None = None) -> None:
        """Create a repo: the first commit is the Hub's own, `files` are in a second one."""
        self.repos[repo_id] = Repo()
        rules = [f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS]
        self.push(repo_id, {".gitattributes": "".join(rules).encode()})
        if files:
            self.push(repo_id, files)

    def push(self, repo_id: str, files: dict[str, bytes]) -> None:
        before = self.repos[repo_id].find("main").files if self.repos[repo_id].branches else {}
        self.repos[repo_id].commit("main", before | {path: self.store(files[path]) for path in files})

    def store(self, content: bytes) -> str:
        self.blobs[oid := sha256(content).hexdigest()] = content
        return oid

    def files(self, repo_id: str, revision: str) -> dict[str, bytes]:
        return {path: self.blobs[oid] for path, oid in self.repos[repo_id].find(revision).files.items()}

    def visible(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Return the files that a publisher put there: none if the repo or the revision is missing."""
        repo = self.repos.get(repo_id, Repo())
        files = self.files(repo_id, revision) if revision in repo.branches | repo.tags else {}
        return {path: content for path, content in files.items() if path != ".gitattributes"}

    def fail(self, kind: str, where: str, times: int = 1) -> None:
        """Make the next `times` requests fail whose `METHOD /path` starts with a match of the pattern `where`.

        `drop` closes the connection halfway. `hang` sets `reached`, waits for `released`, then does the same. `mute`
        carries the request out without a response; `late` too, but sets `reached` and waits for `released` first.
        `429` and `500` are statuses, `301` … `308` redirect to the same place. A JSON text is the answer, instead of
        what was asked for. `stale` adds another user's commit before the request.
        """
        self.faults += [(kind, where)] * times


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, length = urlsplit(self.path).path, int(self.headers.get("Content-Length", 0))
        with self.server.lock:
            self.server.requests.append(request := f"{self.command} {path}")
            matches = [index for index, (_, where) in enumerate(self.server.faults) if re.match(where, request)]
            fault = self.server.faults.pop(matches[0])[0] if matches else ""
        self.close_connection = fault in ("drop", "hang", "mute", "late")
        self.body = self.rfile.read(length // 2 if fault in ("drop", "hang") else length)
        if fault in ("drop", "hang"):
            self.server.reached.set()
            self.server.released.wait(60 if fault == "hang" else 0)
            return
        try:
            if fault in ("429", "500"):
                raise Rejected(int(fault), "not now", **{"Retry-After": "1", "RateLimit": '"api";r=0;t=1'})
            if fault in ("301", "302", "303", "307", "308"):
                raise Rejected(int(fault), "moved", Location=path)
            with self.server.lock:  # a commit is atomic
                is_json = fault.startswith(("{", "[", '"', "null"))
                status, headers, content = (200, {}, fault.encode()) if is_json else self.answer(path, fault)
        except Rejected as error:
            status, headers, content = error.status, error.headers, b""
        if fault == "late":
            self.server.reached.set()
            self.server.released.wait(60)
        elif fault != "mute":
            self.send_response(status)
            for header in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content if self.command != "HEAD" else b"")

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self, path: str, fault: str) -> tuple[int, dict[str, str], bytes]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN, READ_TOKEN):
            raise Rejected(401, "Invalid credentials in Authorization header")
        if self.command == "POST" and token != TOKEN:
            raise Rejected(403, "Forbidden") if token else Rejected(401, "Invalid username or password.")
        if not (match := _CALL.fullmatch(path)):
            raise Rejected(404, "unknown call")
        other, name, verb, kind, self.repo_id, *of_repo = (unquote(text or "") for text in match.groups())
        self.repo_id = self.repo_id if not self.repo_id or kind == "datasets" else f"models/{self.repo_id}"
        if self.repo_id and self.repo_id not in self.server.repos:
            raise Rejected(404, "Repository not found", "RepoNotFound") if token else Rejected(401, "Invalid username")
        self.repo = self.server.repos.get(self.repo_id, Repo())
        if fault == "stale":
            self.server.push(self.repo_id, {"README.md": b"by hand"})
        call, rev, rest = (other, name, verb) if other else of_repo
        answer = getattr(self, f"on_{call}")(rev, rest)
        return answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())

    def on_repos(self, rev: str, path: str) -> object:
        asked = {"type": "model"} | json.loads(self.body)
        repo_id = "{organization}/{name}".format(**asked)
        kind = {"model": "", "dataset": "datasets/"}[asked["type"]]
        key = repo_id if kind else f"models/{repo_id}"
        if key in self.server.repos:
            raise Rejected(409, "You already created this repo")
        self.server.add_repo(key)
        return {"url": f"{self.server.url}/{kind}{repo_id}"}

    def on_collections(self, slug: str, verb: str) -> object:
        """List all, of which each shows 4 items at most; or create one; or show one; or add an item to one."""
        known, asked = self.server.collections, json.loads(self.body or "{}")
        if not slug and self.command == "GET":
            shown = ({name: one[name] for name in one if name != "position"} for one in known.values())
            return [one | {"items": one["items"][:4]} for one in shown]
        if not slug:
            owner, title = asked["namespace"], asked["title"]
            if any((one["owner"]["name"], one["title"]) == (owner, title) for one in known.values()):
                raise Rejected(409, "This collection already exists")
            slug = f"{owner}/{re.sub('[^a-z0-9]+', '-', title.lower())}-{len(known):024x}"
            facts = {"lastUpdated": "2026-01-01T00:00:00Z", "position": 0, "private": False, "theme": "", "upvotes": 0}
            known[slug] = {"slug": slug, "title": title, "owner": {"name": owner}, "items": [], **facts}
        if slug not in known:
            raise Rejected(404, "Collection not found")
        if verb == "items":
            (item,), items = asked.values(), known[slug]["items"]
            if (item["id"] if item["type"] == "dataset" else f"models/{item['id']}") not in self.server.repos:
                raise Rejected(404, "Repository not found", "RepoNotFound")
            if any((other["id"], other["type"]) == (item["id"], item["type"]) for other in items):
                raise Rejected(409, "Item already in collection")
            items.append(item | {"_id": f"{len(items):024x}", "position": len(items)})
        return known[slug]

    def on_validate(self, rev: str, path: str) -> object:
        return {"errors": [], "warnings": []}

    def on_refs(self, rev: str, path: str) -> object:
        kinds = {"branches": self.repo.branches, "tags": self.repo.tags, "converts": {}}
        return {kind: [{"name": n, "ref": n, "targetCommit": c.id} for n, c in kinds[kind].items()] for kind in kinds}

    def on_commits(self, rev: str, path: str) -> object:
        head, rest = self.repo.find(rev), {"authors": [], "date": "2026-01-01T00:00:00Z", "title": "", "message": ""}
        return [{"id": commit.id, **rest} for commit in (head, *head.parents)]

    def on_revision(self, rev: str, path: str) -> object:
        return {"id": self.repo_id, "sha": self.repo.find(rev).id}

    def on_tree(self, rev: str, path: str) -> object:
        files, below = self.repo.find(rev).files, f"{path}/" if path else ""
        folders = {str(parent) for file in files for parent in PurePosixPath(file).parents} - {"."}
        names = sorted(name for name in files.keys() | folders if name.startswith(below))
        folder = {"type": "directory", "oid": "0" * 40, "size": 0}
        return [self.entry(name, files[name]) if name in files else folder | {"path": name} for name in names]

    def entry(self, path: str, oid: str) -> dict[str, Any]:
        """Return the tree entry of a file. Its `oid` is that of the git blob, which for an LFS file is the pointer."""
        blob, size, lfs = self.server.blobs[oid], len(self.server.blobs[oid]), {}
        if path.endswith(LFS):
            blob = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
            lfs = {"lfs": {"oid": oid, "size": size, "pointerSize": len(blob)}}
        git_oid = sha1(b"blob %d\0" % len(blob) + blob).hexdigest()
        return {"type": "file", "oid": git_oid, "size": size, "path": path} | lfs

    def on_preupload(self, rev: str, path: str) -> object:
        paths, mode = [file["path"] for file in json.loads(self.body)["files"]], {True: "lfs", False: "regular"}
        return {"files": [{"path": p, "uploadMode": mode[p.endswith(LFS)], "shouldIgnore": False} for p in paths]}

    def on_batch(self, rev: str, path: str) -> object:
        objects, url = json.loads(self.body)["objects"], self.server.url
        for item in objects:
            if (oid := item["oid"]) not in self.server.blobs:
                self.server.expected.add(oid)
                verify = {"href": f"{url}/api/lfs/{oid}/verify"}
                item["actions"] = {"upload": {"href": f"{url}/lfs/{oid}"}, "verify": verify}
        return {"transfer": "basic", "objects": objects}

    def on_lfs(self, oid: str, path: str) -> object:
        if path == "verify" and len(self.server.blobs.get(oid, b"")) != json.loads(self.body)["size"]:
            raise Rejected(404, "the object was not uploaded")
        if not path and (oid not in self.server.expected or oid != sha256(self.body).hexdigest()):
            raise Rejected(403, "SignatureDoesNotMatch")
        return path or self.server.store(self.body)

    def on_commit(self, rev: str, path: str) -> object:
        head, (header, *lines) = self.repo.find(rev), map(json.loads, self.body.splitlines())
        if header["value"].get("parentCommit", head.id) != head.id:
            raise Rejected(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines:
            path, oid = line["value"]["path"], line["value"].get("oid", "")
            if line["key"] == "deletedFile" and path in files:
                del files[path]
            elif line["key"] == "lfsFile" and oid in self.server.blobs:
                files[path] = oid
            elif line["key"] == "file":
                files[path] = self.server.store(base64.b64decode(line["value"]["content"]))
            else:
                raise Rejected(400, f"{line['key']} {path}: unknown file or LFS object")
        commit = self.repo.commit(rev, files).id
        return {"commitOid": commit, "commitUrl": f"{self.server.url}/{self.repo_id}/commit/{commit}"}

    def on_branch(self, name: str, path: str) -> object:
        return self.on_tag(json.loads(self.body).get("startingPoint", "main"), path, name)

    def on_tag(self, rev: str, path: str, branch: str = "") -> object:
        refs, name = (self.repo.branches, branch) if branch else (self.repo.tags, json.loads(self.body)["tag"])
        if name in refs:
            raise Rejected(409, "Reference already exists")
        refs[name] = self.repo.find(rev)
        return {}

    def on_resolve(self, rev: str, path: str) -> tuple[int, dict[str, str], bytes]:
        commit = self.repo.find(rev)
        if path not in commit.files:
            raise Rejected(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit.id})
        content, entry = self.server.blobs[commit.files[path]], self.entry(path, commit.files[path])
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{entry["oid"]}"'}
        if "lfs" in entry:
            headers |= {"X-Linked-ETag": f'"{commit.files[path]}"', "X-Linked-Size": str(len(content))}
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
            return 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}, content[start : end + 1]
        return 200, headers, content

"""A Hub on this machine: as much of its API as a fetch uses, and the faults that a test asks for."""

import contextlib
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".parquet")


def commit_of(files):
    text = "".join(f"{n}:{hashlib.sha1(b).hexdigest()}" for n, b in sorted(files.items()))
    return hashlib.sha1(text.encode()).hexdigest()


def folder_bytes(folder):
    folder = Path(folder)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@dataclass
class Hub:
    """Repositories by (models or datasets, name): lists of commits, the last of which is main's."""

    repos: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)  # (method, path, Range)
    cut: dict = field(default_factory=dict)  # file name -> bytes after which its connections break
    down: bool = False  # every file is answered with 503 once a connection was cut
    lie: dict = field(default_factory=dict)  # file name -> how often other bytes are sent
    gated: set = field(default_factory=set)
    slow: float = 0.0  # seconds that a file waits
    endpoint: str = ""

    def push(self, kind, name, files):
        """A new commit of a repository; its digest."""
        files = {n: b.encode() if isinstance(b, str) else b for n, b in files.items()}
        self.repos.setdefault((kind, name), {})[commit_of(files)] = files
        return commit_of(files)

    def files(self, *names):
        """The requests of files' bytes, by name; all without names."""
        took = [
            (p.split("/resolve/")[1].split("/", 1)[1], r)
            for m, p, r in self.requests
            if m == "GET" and "/resolve/" in p
        ]
        return [(n, r) for n, r in took if not names or n in names]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _plain(self, status, body=b"{}", **headers):
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _answer(self, body):
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        found = re.fullmatch(r"/api/(models|datasets)/(.+?)(?:/revision/(.+))?", path)
        if found:
            return self._listing(*found.groups())
        found = re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path)
        if found is None:  # what else the library may ask
            return self._plain(404)
        return self._file("datasets" if found[1] else "models", found[2], found[3], found[4])

    def _repo(self, kind, name, revision):
        hub = self.hub
        if (kind, name) not in hub.repos:
            self._plain(401, b"{}", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        elif name in hub.gated and self.headers.get("Authorization") != "Bearer good":
            self._plain(403, b"{}", X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        else:
            commits = hub.repos[kind, name]
            commit = list(commits)[-1] if revision in (None, "main") else revision
            if commit in commits:
                return commit, commits[commit]
            self._plain(404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        return None

    def _listing(self, kind, name, revision):
        found = self._repo(kind, name, revision)
        if found is None:
            return
        commit, files = found
        siblings = []
        for path, data in files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"rfilename": path, "size": len(data), "blobId": blob}
            if path.endswith(LFS):
                entry["lfs"] = {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 100,
                }
                entry["blobId"] = "0" * 40
            siblings.append(entry)
        made = {
            "_id": "0",
            "id": name,
            "sha": commit,
            "private": False,
            "tags": [],
            "downloads": 0,
            "siblings": siblings,
        }
        self._plain(200, json.dumps(made).encode(), Content_Type="application/json")

    def _file(self, kind, name, revision, path):
        hub = self.hub
        found = self._repo(kind, name, revision)
        if found is None:
            return None
        if hub.slow:
            threading.Event().wait(hub.slow)
        if hub.down and path in hub.cut and hub.cut[path] is None:
            return self._plain(503)
        commit, files = found
        if path not in files:
            return self._plain(404, b"{}", X_Error_Code="EntryNotFound")
        data = files[path]
        if hub.lie.get(path, 0):
            hub.lie[path] -= 1
            data = bytes(b ^ 1 for b in data)
        first = 0
        asked = self.headers.get("Range")
        if asked:
            first = int(re.match(r"bytes=(\d+)-", asked)[1])
        part = data[first:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(files[path]).hexdigest()}"')
        self.end_headers()
        if self.command != "GET":
            return None
        if hub.cut.get(path) is not None:
            self.wfile.write(part[: hub.cut[path]])
            self.wfile.flush()
            hub.cut[path] = None
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        self.wfile.write(part)
        return None


@contextlib.contextmanager
def serving():
    """A Hub that listens on this machine until the block is left."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A bucket on this machine: as much of S3 as a dry run asks.  Every bucket is there, and empty."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_EMPTY = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated></ListBucketResult>"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet: else each answer waits 40 ms
    asked: list

    def log_message(self, *args):
        pass

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = urlsplit(self.path).path.strip("/")
        self.asked.append((self.command, path))
        if "/" in path:
            self._answer(404)  # a file
        else:
            self._answer(200, _EMPTY)

    def do_HEAD(self):
        self.do_GET()


@contextlib.contextmanager
def empty_bucket():
    """The environment with which Snakemake's S3 plugin finds the bucket, and what it asked: (method, path)."""
    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield (
            {
                "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "anyone",
                "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "anything",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "KUBECONFIG": "/dev/null",
            },
            asked,
        )
    finally:
        server.shutdown()
        server.server_close()

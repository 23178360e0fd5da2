"""A Hugging Face Hub on this machine, as far as huggingface_hub asks for downloads."""

import json
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_of(models):
    """Serves folders by their names on the Hub; yields its address and its requests."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(with_body=False)

        def do_GET(self):
            self.answer(with_body=True)

        def answer(self, with_body):
            path = self.path.split("?")[0]
            asked.append((self.command, path))
            for name, folder in models.items():
                if path.startswith(f"/api/models/{name}"):
                    files = sorted(folder.iterdir())
                    about = {
                        "id": name,
                        "sha": COMMIT,
                        "siblings": [{"rfilename": f.name} for f in files],
                    }
                    tree = [
                        {
                            "type": "file",
                            "path": f.name,
                            "size": f.stat().st_size,
                            "oid": sha256(f.read_bytes()).hexdigest(),
                        }
                        for f in files
                    ]
                    answer = tree if "/tree/" in path else about
                    return self.send(json.dumps(answer).encode(), True)
                file = folder / path.rpartition("/")[2]
                if path == f"/{name}/resolve/{COMMIT}/{file.name}" and file.exists():
                    return self.send(file.read_bytes(), with_body)
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, body, with_body):
            self.send_response(200)
            self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()

"""An S3 server in this process, for tests of datasets in object stores."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

BUCKET = "box"


@contextmanager
def s3_server() -> Iterator[str]:
    """An empty server with a bucket, to which the environment points; its address."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (extra cloud)")
    pytest.importorskip("s3fs", reason="s3fs is not installed (extra cloud)")
    server_of = pytest.importorskip("moto.server", reason="moto is not installed (extra dev)")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    # Its content belongs to the process and not to the server.
    urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
        }.items():
            patch.setenv(name, value)
        # An instance of another server would be found again.
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        fsspec.filesystem("s3", use_listings_cache=False).mkdir(BUCKET)
        try:
            yield address
        finally:
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            server.stop()

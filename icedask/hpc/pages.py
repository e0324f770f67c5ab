"""Pages of schedulers and workers over HTTP, which show code and data: closed to other users."""

from __future__ import annotations

from typing import Any

from tornado.web import ErrorHandler


def dask_setup(worker: Any) -> None:
    """Stop the pages of a worker; `distributed` calls it where this module is a preload."""
    worker.http_server.stop()
    worker.services.pop("dashboard", None)


def close_pages(scheduler: Any, prefix: str) -> None:
    """Refuse requests for pages whose path does not begin with a secret prefix.

    The list of all pages, which has the prefix, would else be served without it.
    """
    application = scheduler.http_application
    find = application.find_handler

    def find_handler(request: Any, **options: Any) -> Any:
        if request.path.startswith(f"/{prefix}/"):
            return find(request, **options)
        return application.get_handler_delegate(request, ErrorHandler, {"status_code": 404})

    application.find_handler = find_handler

"""The pages of `jobs/browse.py`: a whole run, read as far as a page shows it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.errors import ImageError, MissingKey, RequestError, ToffeeError
from toffee_pipeline.filters import REASONS
from toffee_pipeline.report.cards import Card
from toffee_pipeline.report.listing import MAX_SHARDS, Found, Listing, OpenShard, Place
from toffee_pipeline.report.overview import KINDS, figures_of
from toffee_pipeline.report.page import REPORT, script
from toffee_pipeline.report.story import tell
from toffee_pipeline.report.tiles import PIXELATED_PX, Tile, columns_for, parts_of, pixels, thumbnail
from toffee_pipeline.report.wanted import COLUMNS, Wanted
from toffee_pipeline.report.words import load, words
from toffee_pipeline.rundir.description import ImageDatasetRun
from toffee_pipeline.rundir.pictures import may_have_pictures
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage

PER_PAGE = 24
PLACE = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?")
FORMATS = {b"\x89PNG\r\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""First bytes of the images that a run stores. What begins otherwise is not sent: a run may come from anywhere."""
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}
"""Of images: their URL names the attempt that wrote them, whose files never change."""


def make_site(storage: Storage) -> Starlette:
    """The site of a run. Only requests that name this machine's loopback as their host are answered, so that no page of
    another site reads the run through a name of its own. Raises as `read_run`."""
    site = Site(storage)
    return Starlette(
        routes=[
            Route("/", site.rows),
            Route("/step", site.step),
            Route("/rows/{shard:int}/{row:int}", site.row),
            Route("/thumbnails/{attempt}/{shard:int}/{row:int}/{column}", site.thumbnail),
            Route("/images/{attempt}/{shard:int}/{row:int}/{column}", site.image),
            Route("/report", site.report),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
        ],
        exception_handlers=dict.fromkeys((ToffeeError, OSError, HTTPException), site.refuse),
    )


async def _with_headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


class Site:
    """The handlers. They run in threads, since all of them read."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._listing = storage, Listing(storage)
        self._run = self._listing.run

    def rows(self, request: Request) -> Response:
        """A page of cards: from the place `from` on, or the last before the place `before`."""
        query = request.query_params
        wanted = Wanted.from_query(query, self._run.table)
        shards = self._listing.shards()
        previous: Place | None
        following: Place | None
        if query.get("before"):
            following = _place(query["before"])
            page = self._listing.before(wanted, following, PER_PAGE)
            previous = page.rest
        else:
            start = _place(query.get("from") or "0")
            page = self._listing.after(wanted, start, PER_PAGE)
            previous, following = (start if shards and start > (shards[0], 0) else None), page.rest
        return self._page(
            "rows.html",
            query=query,
            wanted=wanted,
            choices=self._choices(),
            scores=self._run.table.scores,
            cards=[(self._card(found), _url(found.place, wanted)) for found in page.rows],
            previous=previous,
            following=following,
            max_shards=MAX_SHARDS,
            cut=len(page.rows) < PER_PAGE and page.rest is not None,
            num_shards=len(shards),
            shard=page.rows[0].place[0] if page.rows else None,
            summary=self._listing.summary,
            figures=figures_of(self._run, self._listing.summary) if self._listing.summary else [],
            has_report=self._storage.exists(REPORT),
        )

    def step(self, request: Request) -> Response:
        """To the next row that is wanted, or the one before; back to the list where there is none."""
        query = request.query_params
        wanted = Wanted.from_query(query, self._run.table)
        if query.get("before"):
            page = self._listing.before(wanted, _place(query["before"]), 1)
        else:
            page = self._listing.after(wanted, _place(query.get("from") or "0"), 1)
        return RedirectResponse(_url(page.rows[0].place, wanted) if page.rows else f"/?{wanted.query}", 303)

    def row(self, request: Request) -> Response:
        """A row: its images as they are stored, and its story."""
        shard, number = self._opened(request)
        wanted = Wanted.from_query(request.query_params, self._run.table)
        found = Found((shard.manifest.shard, number), shard.manifest, shard.rows[number])
        return self._page(
            "row.html",
            row=found.row,
            tiles=self._tiles(found, "images", self._in_order(found)),
            story=tell(found.row, self._run),
            place=found.place,
            wanted=wanted,
        )

    def thumbnail(self, request: Request) -> Response:
        """A picture as a card shows it."""
        column = self._column(request)
        shard, number = self._opened(request)
        row = shard.rows[number]
        pictures = shard.pictures.of(row["id"], columns_for(row["kind"], column))
        try:
            rgb = pixels(row["kind"], column, pictures, self._run.config.max_pixels) if pictures else None
        except ImageError as error:
            return _placeholder(str(error))
        if rgb is None:
            return _placeholder("not made")
        data, media_type = thumbnail(rgb)
        return Response(data, media_type=media_type, headers=FOREVER)

    def image(self, request: Request) -> Response:
        """An image file as it is stored."""
        column = self._column(request)
        shard, number = self._opened(request)
        pictures = shard.pictures.of(shard.rows[number]["id"], [column])
        if not pictures or (data := pictures[column]) is None:
            return _placeholder("not made")
        media_type = next((name for first, name in FORMATS.items() if data.startswith(first)), None)
        return Response(data, media_type=media_type, headers=FOREVER) if media_type else _placeholder("not an image")

    def report(self, request: Request) -> Response:
        """The run's report, in which no script but this code's own may run."""
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script()[1]}"
        return Response(self._storage.get(REPORT), media_type="text/html", headers={"Content-Security-Policy": policy})

    def refuse(self, request: Request, error: Exception) -> Response:
        """One line that says what is wrong."""
        if isinstance(error, HTTPException):
            status, message = error.status_code, error.detail
        else:
            status = 404 if isinstance(error, MissingKey) else 400 if isinstance(error, RequestError) else 502
            message = str(error)
        return self._page("refused.html", status, message=message)

    def _page(self, template: str, status: int = 200, **content: Any) -> Response:
        html = load(template).render(run=self._run, uri=self._storage.uri, table_row=self._run.table.row, **content)
        return HTMLResponse(html, status)

    def _choices(self) -> dict[str, list[str]]:
        """What the filter offers, by key of the query; nothing where any text may be asked for."""
        summary = self._listing.summary
        known: dict[str, list[str]] = {
            "status": ["accepted", "rejected", "failed"],
            "reason": list(summary.rejected if summary else REASONS),
            "kind": list(KINDS) if self._run.table is PAIRS else list(self._run.table.needed),
            "category": list(CATEGORIES) if self._run.table is PAIRS else [],
            "class": sorted(summary.by_class) if summary else [],
        }
        return {key: known[key] for key, column in COLUMNS.items() if column in self._run.table.ledger.names}

    def _card(self, found: Found) -> Card:
        columns = parts_of(found.row["kind"], self._run.table).values()
        return Card(found.row, self._tiles(found, "thumbnails", columns), tell(found.row, self._run))

    def _tiles(self, found: Found, size: str, columns: Iterable[str]) -> tuple[Tile, ...]:
        """By URL; none where the row's images are not kept."""
        if not may_have_pictures(found.manifest, found.row["status"]):
            return ()
        labels = {column: label for label, column in parts_of(found.row["kind"], self._run.table).items()}
        base = f"/{size}/{found.manifest.attempt}/{found.place[0]}/{found.place[1]}"
        small = isinstance(self._run, ImageDatasetRun) and self._run.config.size_px <= PIXELATED_PX
        return tuple(Tile(labels.get(column, words(column)), f"{base}/{column}", small) for column in columns)

    def _in_order(self, found: Found) -> list[str]:
        """All columns of images, those that a card shows first."""
        return list(dict.fromkeys([*parts_of(found.row["kind"], self._run.table).values(), *self._run.table.images]))

    def _opened(self, request: Request) -> tuple[OpenShard, int]:
        """The shard and the row's number in it that the path names. Raises MissingKey."""
        shard, number = self._listing.shard(request.path_params["shard"]), request.path_params["row"]
        attempt = request.path_params.get("attempt", shard.manifest.attempt)
        if number >= len(shard.rows) or attempt != shard.manifest.attempt:
            raise MissingKey(f"shard {shard.manifest.shard}: no such {self._run.table.row}")
        return shard, number

    def _column(self, request: Request) -> str:
        column: str = request.path_params["column"]
        if column not in self._run.table.images:
            raise RequestError(f"image {column!r}: allowed are {', '.join(self._run.table.images)}")
        return column


def _place(text: str) -> Place:
    """Of SHARD or SHARD.ROW."""
    if (match := PLACE.fullmatch(text)) is None:
        raise RequestError(f"place {text!r}: allowed is SHARD or SHARD.ROW")
    return int(match[1]), int(match[2] or 0)


def _url(place: Place, wanted: Wanted) -> str:
    return f"/rows/{place[0]}/{place[1]}?{wanted.query}".rstrip("?")


def _placeholder(message: str) -> Response:
    """A picture that says why there is none."""
    return Response(load("placeholder.svg").render(message=message), media_type="image/svg+xml")

"""Composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import httpx
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

from modelyard import ApiClient
from modelyard_console.clients.file_reader import FileReader
from modelyard_console.clients.hubs import Hubs
from modelyard_console.clients.model_reader import ModelReader
from modelyard_console.clients.platform import Platform
from modelyard_console.clients.sources import Sources
from modelyard_console.domain import links
from modelyard_console.domain.syncs import sync_words
from modelyard_console.live.followers import Followers
from modelyard_console.live.hub import Hub
from modelyard_console.live.jobs import Jobs
from modelyard_console.pages import PAGES
from modelyard_console.pages.edge import session_edge
from modelyard_console.pages.errors import add_error_pages, error_page
from modelyard_console.pages.live import add_live
from modelyard_console.pages.signing_in import Codes, SignInAgain, add_signing_in
from modelyard_console.pages.templates import STATIC, Templates
from modelyard_console.pages.view import Console
from modelyard_console.settings import Settings
from modelyard_console.store.model_uploads import ModelUploads
from modelyard_console.store.room import Room
from modelyard_console.store.sessions import Sessions
from modelyard_console.store.sync_runs import SyncRuns
from modelyard_console.store.uploads import Uploads
from modelyard_own import UnfitModel
from modelyard_runtime.access import Authenticator
from modelyard_runtime.assembly import authenticator_of
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.database import Database, migrate, open_engine
from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Service

NAME: Final = "console"
MIGRATIONS: Final = "modelyard_console:migrations"
UPLOADS: Final = "/training/upload"
"""The page that accepts files for training."""


def build(
    settings: Settings,
    clock: Clock = system_clock,
    authenticator: Authenticator | None = None,
    transports: Mapping[str, httpx.BaseTransport] | None = None,
) -> Service:
    """Wire the console; nothing is connected before it runs. authenticator, transports: for tests."""
    readiness, metrics, hub = Readiness(), Metrics(NAME), Hub()
    database = Database(open_engine(settings.resolved_database_url), clock)
    platform = Platform(settings.urls, settings.call_timeout_s, transports)
    keep = timedelta(hours=settings.upload_keep_h)
    folders = {name: settings.data_dir / name for name in ("uploads", "models", "syncs")}
    uploads = Uploads(folders["uploads"], keep, Room(settings.max_uploads_bytes, folders["uploads"]), clock)
    room = Room(settings.max_model_uploads_bytes, folders["models"], folders["syncs"])
    models = ModelUploads(folders["models"], keep, room, clock)
    syncs = SyncRuns(folders["syncs"], keep, room, clock)
    console = Console(
        platform=platform,
        sessions=Sessions(database, settings.session_idle, settings.session_max),
        authenticator=authenticator or authenticator_of(settings, clock),
        templates=Templates(),
        hub=hub,
        clock=clock,
        uploads=uploads,
        reader=FileReader(settings.max_upload_cells, settings.reading_memory_bytes, settings.reading_timeout_s),
        max_upload_bytes=settings.max_upload_bytes,
        models=models,
        model_reader=_model_reader(settings),
        jobs=Jobs(),
        hubs=_hubs(settings),
        imports=Jobs(),
        sources=_sources(settings),
        syncs=syncs,
        sync_jobs=Jobs(),
        max_model_upload_bytes=settings.max_model_upload_bytes,
        registering_timeout_s=settings.registering_timeout_s,
        secure_cookies=settings.secure_cookies,
    )
    followers = Followers(hub, lambda name: platform.client(name, ApiClient, settings.service_key))

    async def start() -> None:
        await asyncio.to_thread(migrate, database.engine, MIGRATIONS)
        hub.start()
        followers.start()

    async def stop() -> None:
        followers.stop()
        console.jobs.close()
        console.imports.close()
        console.sync_jobs.close()
        platform.close()
        database.close()

    return Service(
        NAME,
        settings,
        _app(console, readiness, metrics),
        background=[
            Periodic("deleting ended sessions", console.sessions.prune).run,
            Periodic("deleting old uploads", uploads.prune).run,
            Periodic("deleting old uploads of models", models.prune).run,
            Periodic("deleting old synchronisations", syncs.prune).run,
        ],
        on_start=start,
        on_stop=stop,
        readiness=readiness,
    )


def _model_reader(settings: Settings) -> ModelReader:
    return ModelReader(settings.max_model_upload_bytes, settings.reading_memory_bytes, settings.reading_timeout_s)


def _hubs(settings: Settings) -> Hubs:
    try:
        return Hubs(
            settings.hub_variables,
            enabled=settings.imports,
            max_bytes=settings.max_import_bytes,
            timeout_s=min(settings.import_timeout_s, settings.upload_keep_h * 3600),
            listing_timeout_s=settings.call_timeout_s,
        )
    except UnfitModel as error:
        raise StartupError(str(error)) from error


def _sources(settings: Settings) -> Sources:
    try:
        return Sources(
            settings.sync_addresses,
            settings.sync_variables,
            files_root=settings.sync_files_root,
            timeout_s=settings.call_timeout_s,
        )
    except UnfitModel as error:
        raise StartupError(sync_words(str(error))) from error


def _app(console: Console, readiness: Readiness, metrics: Metrics) -> FastAPI:
    app = create_app(
        service=NAME,
        authenticator=console.authenticator,
        readiness=readiness,
        metrics=metrics,
        large_paths={
            UPLOADS: console.max_upload_bytes,
            links.MODEL_UPLOAD: console.max_model_upload_bytes,
            links.IMPORT_LISTING: console.max_upload_bytes,
            links.SYNC_START: console.max_upload_bytes,
        },
        edge=session_edge(console.sessions, SignInAgain(console.templates), _unavailable(console.templates)),
        openapi_url=None,
    )
    add_error_pages(app, console.templates)
    app.mount("/static", StaticFiles(directory=str(STATIC)))
    add_signing_in(app, console, Codes())
    add_live(app, console)
    for add in PAGES:
        add(app, console)
    return app


def _unavailable(templates: Templates) -> Callable[[str], Response]:
    return lambda sentence: error_page(templates, 503, {"detail": sentence, "remedy": None})

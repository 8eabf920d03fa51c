"""Gradio's files from memory: what may be kept, what is not served from here, and the page that names what it needs."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import gradio
import httpx
import pytest

from assistant_app.assets import LARGEST, Assets, Files
from assistant_app.gate import Access
from assistant_app.login import HashedAccounts, Login
from assistant_app.preloads import needed

from .browser import ScriptedClient, serving

SCRIPT = b"export const name = 1;\n" * 100
THEME = b"body { color: red }"
# What the app behind it answers to everything else.
GRADIO = b"Gradio's own way"
PAGE = b"""<head><script>window.gradio_config = {"title": "\xc3\xb1"};</script>
<script type="module" crossorigin src="./assets/index-AAAAAAAA.js"></script></head><body></head></body>"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A build like Gradio's: a first script that imports two others, one of which knows the kinds of components."""
    for name in ("assets", "static/fonts/Plex"):
        (tmp_path / "frontend" / name).mkdir(parents=True)
    files = {
        "index.html": PAGE,
        "assets/index-AAAAAAAA.js": b'd=(m.f=["./Index-BBBBBBBB.js","./core-CCCCCCCC.js"])'
        b"b(()=>import(`./Index-BBBBBBBB.js`),__vite__mapDeps([0,1]),c)",
        "assets/Index-BBBBBBBB.js": b'd=(m.f=["./Blocks-DDDDDDDD.js","./Login-EEEEEEEE.js"])'
        b"b(()=>import(`./Blocks-DDDDDDDD.js`),__vite__mapDeps([0]),c)"
        b"b(()=>import(`./Login-EEEEEEEE.js`),__vite__mapDeps([1]),c)",
        "assets/core-CCCCCCCC.js": b'd=(m.f=["./Example-FFFFFFFF.js","./Index-GGGGGGGG.js","./Index-HHHHHHHH.css"])'
        b"{box:{example:()=>v(()=>import(`./Example-FFFFFFFF.js`),__vite__mapDeps([0]),c),"
        b"component:()=>v(()=>import(`./Index-GGGGGGGG.js`).then(e=>e.t),__vite__mapDeps([2]),c)},"
        b"film:{component:()=>v(()=>import(`./Example-FFFFFFFF.js`),__vite__mapDeps([0]),c)}}",
        "assets/Blocks-DDDDDDDD.js": SCRIPT,
        "assets/Index-GGGGGGGG.js": SCRIPT,
        "assets/Index-HHHHHHHH.css": b"body {}",
        "assets/huge-IIIIIIII.js": b"x" * (LARGEST + 1),
        "static/plain.js": SCRIPT,
        "static/fonts/Plex/Plex-Regular.woff2": b"wOF2" + bytes(500),
        "../secret.js": b"secret",
    }
    for name, content in files.items():
        (tmp_path / "frontend" / name).write_bytes(content)
    return tmp_path / "frontend"


async def gradio_s_own(scope: Any, receive: Any, send: Any) -> None:
    page = PAGE if scope["path"] == "/" else GRADIO
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page})


class Asked:
    def __init__(self, files: Files, path: str, method: str = "GET", query: bytes = b"", **headers: str) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": named}
        asyncio.run(Assets(gradio_s_own, files)(scope, None, self.hear))

    async def hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            assert len(self.headers) == len(message["headers"])
            # As the middleware around this one does.
            message["headers"].append((b"x-more", b"1"))
        else:
            self.body += message["body"]


def test_a_name_with_a_hash_is_kept_for_ever_and_others_for_a_while(directory: Path) -> None:
    files = Files(directory)
    hashed, plain = Asked(files, "/assets/Index-GGGGGGGG.js"), Asked(files, "/static/plain.js")
    font = Asked(files, "/static/fonts/Plex/Plex-Regular.woff2", accept_encoding="gzip")
    assert hashed.headers["cache-control"] == "max-age=31536000, immutable"
    assert plain.headers["cache-control"] == font.headers["cache-control"] == "max-age=3600"
    assert hashed.body == plain.body == SCRIPT
    assert hashed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert font.headers["content-type"] == "font/woff2"
    assert "content-encoding" not in hashed.headers | font.headers


def test_texts_are_compressed_for_those_who_take_it(directory: Path) -> None:
    files = Files(directory)
    for _ in range(2):
        packed = Asked(files, "/assets/Index-GGGGGGGG.js", accept_encoding="gzip, br")
        assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(packed.body) == SCRIPT
        assert packed.headers["content-length"] == str(len(packed.body)) != str(len(SCRIPT))
        assert Asked(files, "/assets/Index-GGGGGGGG.js").body == SCRIPT


def test_what_the_browser_has_is_not_sent_again(directory: Path) -> None:
    files = Files(directory)
    first = Asked(files, "/static/plain.js", accept_encoding="gzip")
    tag = first.headers["etag"]
    for asked in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        again = Asked(files, "/static/plain.js", if_none_match=asked)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert Asked(files, "/static/plain.js", if_none_match='"other"').status == 200
    assert Asked(files, "/static/fonts/Plex/Plex-Regular.woff2").headers["etag"] != tag


def test_a_head_is_a_get_without_its_body(directory: Path) -> None:
    files = Files(directory)
    for path in ("/assets/Index-GGGGGGGG.js", "/"):
        get, head = Asked(files, path), Asked(files, path, "HEAD")
        assert head.headers == get.headers
    assert Asked(files, "/assets/Index-GGGGGGGG.js", "HEAD").body == b""


def test_what_is_not_in_the_directories_is_not_served_from_here(directory: Path) -> None:
    files = Files(directory)
    paths = ["/assets/../index.html", "/assets/../../secret.js", "/assets/..%2findex.html", "/assets//etc/passwd"]
    paths += [
        "/assets/",
        "/assets",
        "/index.html",
        "/static/fonts/Plex",
        f"/assets/../{directory.name}/static/plain.js",
    ]
    paths += ["//static/plain.js", "/static\\plain.js", "/assets/huge-IIIIIIII.js", "/gradio_api/upload"]
    assert {path: Asked(files, path).body for path in paths} == dict.fromkeys(paths, GRADIO)
    assert Asked(files, "/assets/Index-GGGGGGGG.js", "POST").body == GRADIO
    assert Asked(files, "/assets/Index-GGGGGGGG.js", range="bytes=0-1").body == GRADIO
    (directory / "static/plain.js").unlink()
    assert Asked(files, "/static/plain.js").body == GRADIO


def test_the_page_names_what_its_components_need_behind_its_first_script(directory: Path) -> None:
    files = Files(directory)
    assert Asked(files, "/").body == PAGE
    files.prepare({"box", "text"})
    page = Asked(files, "/", accept_encoding="gzip")
    text = gzip.decompress(page.body)
    links = text[text.index(b"<link") : text.index(b"</head>")].decode()
    names = [each.split("./assets/")[1].split('"')[0] for each in links.split("<link ")[1:]]
    assert sorted(names) == [
        "Blocks-DDDDDDDD.js",
        "Index-BBBBBBBB.js",
        "Index-GGGGGGGG.js",
        "Index-HHHHHHHH.css",
        "core-CCCCCCCC.js",
    ]
    assert text.replace(links.encode(), b"") == PAGE
    assert page.headers["content-length"] == str(len(page.body))
    assert page.headers["vary"] == "Accept-Encoding"
    assert Asked(files, "/elsewhere").body == GRADIO


def test_a_page_with_its_scripts_from_elsewhere_names_none(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared one has them from Gradio's CDN: it would load all of them twice."""
    files = Files(directory)
    files.prepare({"box"})
    shared = PAGE.replace(b"./assets", b"https://cdn.example/assets")
    monkeypatch.setattr("tests.test_assets.PAGE", shared)
    assert files.links
    assert Asked(files, "/").body == shared


def test_a_build_that_is_not_as_expected_is_served_without_links(directory: Path) -> None:
    (directory / "assets/core-CCCCCCCC.js").unlink()
    files = Files(directory)
    files.prepare({"box"})
    assert Asked(files, "/").body == PAGE
    assert Asked(files, "/assets/Index-GGGGGGGG.js").body == SCRIPT


def test_the_colours_are_kept_where_their_address_names_their_hash(directory: Path) -> None:
    files = Files(directory)
    assert Asked(files, "/theme.css", query=b"v=abc").headers["cache-control"] == "max-age=31536000, immutable"
    assert "cache-control" not in Asked(files, "/theme.css").headers


def test_who_has_not_signed_in_gets_none_of_it(tmp_path: Path) -> None:
    from .test_login import CHEAP

    login = Login(HashedAccounts({"ana": CHEAP.hash("ana")}), b"x" * 32)
    (script, *_) = needed(Path(gradio.__file__).parent / "templates/frontend", set())
    with (
        serving(ScriptedClient(), tmp_path, access=Access(login)) as served,
        httpx.Client(base_url=served.url) as visitor,
    ):
        paths = [f"/assets/{script}", "/static/img/logo.svg", "/theme.css?v=1"]
        assert [visitor.get(path).status_code for path in paths] == [401] * 3
        visitor.post("/login", data={"username": "ana", "password": "ana"})
        assert [visitor.get(path).status_code for path in paths] == [200] * 3
        for path in paths:
            assert "max-age" in visitor.get(path).headers["cache-control"]

"""Fetching from a server on this machine that speaks version 3 of xeno-canto's interface, well and badly."""

import csv
import http.server
import io
import json
import threading
import urllib.parse
from dataclasses import dataclass, field

import numpy as np
import pytest
import soundfile

from clslab import cli, data
from clslab.data import xeno_canto
from clslab.data.download import DownloadError

KEY = "a-secret-key"
BY_NC_SA = "//creativecommons.org/licenses/by-nc-sa/4.0/"


def song(seed, seconds=8.0, rate=44_100, hz=4000):
    """A recording as MP3-like bytes (FLAC): hiss, and two songs in it."""
    time_axis = np.arange(round(seconds * rate)) / rate
    samples = 0.003 * np.random.default_rng(seed).normal(size=len(time_axis))
    for start in (1.0, 5.5):
        sung = (time_axis > start) & (time_axis < start + 1)
        samples[sung] += 0.3 * np.sin(2 * np.pi * hz * time_axis[sung])
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC")
    return buffer.getvalue()


@dataclass
class Service:
    """What the server holds, how it is asked, and what goes wrong next."""

    entries: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)  # of queries: (code, headers, body)
    cuts: dict = field(default_factory=dict)  # of files: bytes after which the connection ends, once
    queries: list = field(default_factory=list)
    downloads: list = field(default_factory=list)

    def add(self, number, species="Passer domesticus", **changes):
        genus, epithet = species.split()
        self.files[f"/{number}/download"] = changes.pop("content", None) or song(number)
        self.entries.append(
            {
                "id": str(number), "gen": genus, "sp": epithet, "ssp": "", "grp": "birds", "en": "House Sparrow",
                "rec": f"Recordist {number}", "cnt": "Spain", "lat": "42.8", "lon": "-8.6", "type": "song",
                "url": f"//xeno-canto.org/{number}", "file": f"{self.url}/{number}/download",
                "file-name": f"XC{number}-take one.flac", "lic": BY_NC_SA, "q": "A", "length": "0:08", "also": [""],
            } | changes
        )  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        service = self.server.service
        path, _, query = self.path.partition("?")
        if path == "/api/3/recordings":
            return self.search(service, dict(urllib.parse.parse_qsl(query)))
        return self.file(service, path)

    def search(self, service, asked):
        service.queries.append(asked)
        if service.faults:
            code, headers, body = service.faults.pop(0)
            return self.answer(code, body, **headers)
        if asked.get("key") != KEY:
            said = {"error": "client_error", "message": "Missing or invalid 'key' parameter."}
            return self.answer(401, json.dumps(said).encode())
        tags = dict(tag.split(":") for tag in asked["query"].split())
        found = [
            entry
            for entry in service.entries
            if entry["gen"].lower().startswith(tags["gen"].lower()) and entry["sp"].startswith(tags["sp"])
            and tags.get("q", entry["q"]) == entry["q"]
        ]  # fmt: skip
        size, page = int(asked["per_page"]), int(asked["page"])
        content = {
            "numRecordings": str(len(found)),
            "numSpecies": "1",
            "page": page,
            "numPages": max(1, -(-len(found) // size)),
            "recordings": found[(page - 1) * size : page * size],
        }
        return self.answer(200, json.dumps(content).encode())

    def file(self, service, path):
        service.downloads.append((path, self.headers.get("Range")))
        content = service.files.get(path)
        if content is None:
            return self.answer(404, b"")
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        end = service.cuts.pop(path, len(content))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:end])
        self.close_connection = end < len(content)
        return None


@pytest.fixture
def service():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        httpd.service = Service()
        httpd.service.url = f"http://127.0.0.1:{httpd.server_port}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield httpd.service
        httpd.shutdown()
        thread.join()


@pytest.fixture
def get(service, tmp_path):
    """`get(species, …)` fetches quickly into `get.folder`; what was said is in `get.said`."""
    said = []

    def call(*species, key=KEY, pause=0.0, retries=3, **options):
        client = xeno_canto.Client(
            key, api=f"{service.url}/api/3/recordings", pause=pause, retries=retries, say=said.append
        )
        names = species or ("Passer domesticus",)
        return xeno_canto.get(names, root=tmp_path, client=client, say=said.append, **options)

    call.said, call.root, call.folder = said, tmp_path, tmp_path / "birds"
    return call


def table(folder):
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_set_is_made_that_can_be_loaded(service, get, capsys):
    for number in range(1, 6):
        service.add(number)
    for number in range(6, 11):
        service.add(number, "Junco hyemalis", content=song(number, hz=3000))
    assert get("Passer domesticus", "Junco hyemalis", limit=4) == get.folder
    rows = table(get.folder)
    assert {row["recording_id"] for row in rows} == {f"XC{n}" for n in (1, 2, 3, 4, 6, 7, 8, 9)}
    assert rows[0]["family"] == "Passeridae"
    assert rows[0]["licence"] == "https://creativecommons.org/licenses/by-nc-sa/4.0/"
    assert rows[0]["url"] == "https://xeno-canto.org/1"
    capsys.readouterr()
    splits = data.load("birds", root=get.root)
    assert splits.classes == ("Junco hyemalis", "Passer domesticus")
    assert splits.train[0][0].shape == (66_150,)
    assert "divided 60/20/20 by recording" in capsys.readouterr().out


def test_the_songs_are_in_the_clips(service, get):
    service.add(7)
    get(clips=2)
    first, second = table(get.folder)
    assert [row["file"] for row in (first, second)] == [f"clips/passer_domesticus_XC7_{n}.ogg" for n in (0, 1)]
    for row, start in ((first, 1.0), (second, 5.5)):
        assert float(row["start_s"]) <= start + 0.1
        assert float(row["start_s"]) + 3 >= start + 0.9
        assert float(row["activity_db"]) > 20
        samples, rate = soundfile.read(get.folder / row["file"])
        assert (samples.shape, rate) == ((66_150,), 22_050)
        assert np.abs(samples).max() == pytest.approx(0.9, abs=0.1)


def test_credits_are_written(service, get):
    service.add(31, rec="Ana Nuñez")
    get()
    words = (get.folder / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "XC31, Passer domesticus (House Sparrow), recorded by Ana Nuñez, https://creativecommons.org" in words
    assert "by-nc-sa/4.0/, https://xeno-canto.org/31" in words
    assert "cut to clips" in words


def test_what_may_not_be_cut_or_is_withheld_is_left_out(service, get):
    service.add(1, lic="//creativecommons.org/licenses/by-nc-nd/2.5/")
    service.add(2, lic="")
    service.add(3, file="")
    service.add(4, length="20:00")
    service.add(5, lic="https://creativecommons.org/publicdomain/zero/1.0/")
    get()
    assert [row["recording_id"] for row in table(get.folder)][:1] == ["XC5"]
    assert {path for path, _ in service.downloads} == {"/5/download"}
    said = "\n".join(get.said)
    for words in (
        "XC1 (Passer domesticus, Recordist 1): its licence is by-nc-nd",
        "XC2 (Passer domesticus, Recordist 2): its licence is unknown",
        "XC3 (Passer domesticus, Recordist 3): its sound is withheld",
        "XC4 (Passer domesticus, Recordist 4): 1200 s long",
        "Passer domesticus: 1 recording of 10 asked for",
    ):
        assert words in said


def test_licences_can_be_narrowed_and_widened(service, get):
    service.add(1)
    service.add(2, lic="//creativecommons.org/licenses/by-sa/4.0/")
    service.add(3, lic="//creativecommons.org/licenses/by-nc-nd/4.0/")
    get(licences=["by-sa"])
    assert {row["recording_id"] for row in table(get.folder)} == {"XC2"}
    get(licences=["by-nc-nd"])
    assert {row["recording_id"] for row in table(get.folder)} == {"XC2", "XC3"}
    assert any("not be passed on" in line for line in get.said)


def test_names_that_only_begin_alike_are_not_taken(service, get):
    service.add(1, "Passerella domesticusii")
    service.add(2)
    get()
    assert {row["recording_id"] for row in table(get.folder)} == {"XC2"}


def test_all_pages_are_asked_for_and_not_more_than_needed(service, get, monkeypatch):
    monkeypatch.setattr(xeno_canto, "PER_PAGE", 2)
    for number in range(1, 8):
        service.add(number, content=song(1, seconds=4))
    get(limit=5)
    assert [query["page"] for query in service.queries] == ["1", "2", "3"]
    assert len({row["recording_id"] for row in table(get.folder)}) == 5


def test_the_quality_is_part_of_the_query(service, get):
    service.add(1, q="C")
    service.add(2, q="A")
    get(quality="A")
    assert service.queries[0]["query"] == "gen:Passer sp:domesticus q:A"
    assert {row["recording_id"] for row in table(get.folder)} == {"XC2"}


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(xeno_canto, "time", made)
    return made


def test_requests_keep_their_pace(service, get, clock):
    for number in (1, 2, 3):
        service.add(number, content=song(1, seconds=4))
    get(pause=1.5)
    # One query and three files: a pause before each but the first.
    assert clock.slept == [1.5, 1.5, 1.5]
    clock.now += 0.9
    get(pause=1.5)
    assert clock.slept == [1.5, 1.5, 1.5], "what is here is not asked for, and a new client need not wait"
    assert xeno_canto.PAUSE >= 1, "one request a second, by default"


def test_retry_after_is_obeyed(service, get, clock):
    service.add(1)
    service.faults = [(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "3"}, b""), (500, {}, b"")]
    get(retries=4)
    assert clock.slept == [7, 3, 4], "where nothing is asked for, the wait doubles with every try"
    assert any("the server answered 429; trying again in 7 s" in line for line in get.said)
    assert table(get.folder)


def test_a_date_is_a_wait_too():
    assert xeno_canto.retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 5) == 0
    assert xeno_canto.retry_after("Wed, 21 Oct 2115 07:28:00 GMT", 5) > 1e9


def test_a_long_wait_ends_the_command(service, get):
    service.faults = [(429, {"Retry-After": "3600"}, b"")]
    with pytest.raises(DownloadError, match="asks to come back in 3600 s; try again then"):
        get()


def test_an_interrupted_download_goes_on(service, get):
    service.add(1)
    service.cuts["/1/download"] = 50_000
    get()
    (_, first), (_, second) = service.downloads
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 50_000
    assert table(get.folder)


def test_what_is_here_is_not_fetched_again(service, get):
    for number in (1, 2, 3):
        service.add(number)
    get(limit=2)
    before = (get.folder / "metadata.csv").read_text()
    get(limit=2)
    assert len(service.downloads) == 2
    assert (get.folder / "metadata.csv").read_text() == before
    get(limit=3)
    assert [path for path, _ in service.downloads[2:]] == ["/3/download"]
    (get.folder / table(get.folder)[0]["file"]).unlink()
    get(limit=3)
    assert (get.folder / table(get.folder)[0]["file"]).exists(), "a clip that has gone is cut again"
    assert len(service.downloads) == 3


def test_more_clips_are_cut_from_the_same_file(service, get):
    service.add(1)
    get(clips=1)
    get(clips=2)
    assert (len(table(get.folder)), len(service.downloads)) == (2, 1)


def test_a_page_in_place_of_a_recording_does_not_block_it(service, get):
    service.add(1, content=b"<html>back in an hour</html>" * 100)
    service.add(2)
    get()
    stored = get.folder / "recordings" / "XC1.flac"
    assert f"delete {stored} to fetch it anew" in "\n".join(get.said)
    service.files["/1/download"] = song(1)
    stored.unlink()
    get()
    assert {row["recording_id"] for row in table(get.folder)} == {"XC1", "XC2"}


def test_a_recording_that_was_replaced_is_said_and_the_next_ones_are_taken(service, get):
    service.add(1)
    get()
    for path in (get.folder / "recordings" / "XC1.flac", get.folder / table(get.folder)[0]["file"]):
        path.unlink()
    service.files["/1/download"] = song(7)
    service.add(2)
    get()
    assert "left out: XC1: it is another file than before" in "\n".join(get.said)
    assert "XC2" in {row["recording_id"] for row in table(get.folder)}


def test_one_bad_recording_does_not_end_the_command(service, get):
    service.add(1, content=b"<html>not found</html>" * 100)
    service.add(2)
    del service.files["/2/download"]
    service.add(3)
    get()
    assert {row["recording_id"] for row in table(get.folder)} == {"XC3"}
    said = "\n".join(get.said)
    assert "left out: XC1: it cannot be read as a sound" in said
    assert "left out: XC2: could not fetch" in said
    assert "404" in said


def test_families_come_from_a_table_of_ones_own(service, get, tmp_path):
    service.add(1, "Parus major")
    tree = tmp_path / "tree.csv"
    tree.write_text("genus,family,order\nParus,Paridae,Passeriformes\n")
    get("Parus major")
    assert table(get.folder)[0]["family"] == ""
    get("Parus major", tree=tree)
    service.add(2, "Parus major")
    get("Parus major", tree=tree)
    assert table(get.folder)[0]["family"] == "Paridae"
    tree.write_text("genus,family\n")
    with pytest.raises(ValueError, match="has no column order"):
        get("Parus major", tree=tree)


# ---------------------------------------------------------------- errors


def test_no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("XENO_CANTO_KEY", raising=False)
    with pytest.raises(ValueError, match=r"XENO_CANTO_KEY is not set\. Register at"):
        xeno_canto.get(["Passer domesticus"], root=tmp_path)


def test_a_wrong_key(get):
    with pytest.raises(ValueError, match=r"refuses the key .*401: Missing or invalid 'key' parameter") as error:
        get(key="wrong-key")
    assert "wrong-key" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((400, {}, b'{"error": {"code": "x", "message": "No query specified"}}'), "400: No query specified"),
        ((404, {}, b"gone"), "xeno-canto answered 404"),
        ((200, {}, b"<html>"), "something else than JSON"),
        ((200, {}, b"[]"), r"unknown form \(a list\)"),
        ((200, {}, b'{"numPages": 1}'), "unknown form .*recordings"),
    ],
)
def test_answers_that_are_none(service, get, fault, message):
    service.faults = [fault]
    with pytest.raises(ValueError if fault[0] == 400 else DownloadError, match=message):
        get()
    assert not (get.folder / "metadata.csv").exists()


def test_the_key_is_in_no_message(tmp_path, clock):
    client = xeno_canto.Client(
        KEY, api="http://127.0.0.1:9/api", pause=0, retries=2, say=lambda line: said.append(line)
    )
    said = []
    with pytest.raises(DownloadError, match="the connection failed") as error:
        xeno_canto.get(["Passer domesticus"], root=tmp_path, client=client)
    assert KEY not in str(error.value) + str(said)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_another_set_is_left_alone(service, get):
    get.folder.mkdir()
    (get.folder / "metadata.csv").write_text("file,species\n")
    with pytest.raises(ValueError, match="holds a set that was not fetched with this command"):
        get()


@pytest.mark.parametrize("name", ["sparrow", "Passer domesticus italiae"])
def test_names_are_two_words(get, name):
    with pytest.raises(ValueError, match="give the scientific name of two words"):
        get(name)


def test_a_species_that_is_not_there(service, get):
    with pytest.raises(DownloadError, match="nothing was fetched"):
        get()
    assert "Passer domesticus: 0 recordings of 10 asked for" in get.said


def test_numbers_that_make_no_sense(get):
    with pytest.raises(ValueError, match="limit 0"):
        get(limit=0)


# ---------------------------------------------------------------- the command


def test_the_command(service, get, monkeypatch, capsys):
    service.add(1)
    monkeypatch.setenv("XENO_CANTO_KEY", KEY)
    monkeypatch.setattr(xeno_canto, "API", f"{service.url}/api/3/recordings")
    monkeypatch.setattr(
        xeno_canto.Client.__init__, "__kwdefaults__", {**xeno_canto.Client.__init__.__kwdefaults__, "pause": 0.0}
    )
    command = ["data", "get", "birds", "--root", str(get.root), "--species", "Passer domesticus", "--limit", "1"]
    assert cli.main(command) == 0
    assert "Passer domesticus: 1 recording" in capsys.readouterr().out
    assert table(get.folder)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert cli.main(["data", "get", "birds", "--root", str(tmp_path)]) == 2
    assert "data get birds --species" in capsys.readouterr().err
    assert cli.main(["data", "get", "debris", "--limit", "3"]) == 2
    assert "--limit is for birds" in capsys.readouterr().err

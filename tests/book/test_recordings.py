"""The page that credits the recordings: nobody is left out, and it is made from the table of the set."""

import re

import pandas as pd
import pytest

from book.tools import recordings
from book.tools.pages import BookError
from clslab.records import load_runs

HEAD = "recording_id,species,english_name,recordist,licence,url"
BY_SA, BY_NC_SA = (f"https://creativecommons.org/licenses/{kind}/4.0/" for kind in ("by-sa", "by-nc-sa"))


def table(folder, *lines):
    (folder / "metadata.csv").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    return folder


def test_every_recording_that_a_record_was_scored_on_is_credited():
    text = recordings.PAGE.read_text(encoding="utf-8")
    credited = set(re.findall(r"^\| \[(XC\d+)\]", text, re.MULTILINE))
    runs = [run for of_name in load_runs(recordings.PAGE.parent / "results" / "birds").values() for run in of_name]
    clips = {clip for run in runs for said in run.predictions.values() for clip in said.ids}
    scored = {found for clip in clips for found in re.findall(r"XC\d+", clip)}
    assert len(scored) > 100
    assert scored <= credited


def test_each_row_names_recordist_and_licence():
    rows = [line for line in recordings.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| [XC")]
    for row in rows:
        number, species, by, licence, clips = (cell.strip() for cell in row.strip("|").split("|"))
        assert re.fullmatch(r"\[XC(\d+)\]\(https://(?:www\.)?xeno-canto\.org/\1\)", number)
        assert species
        assert by
        assert re.fullmatch(r"CC BY(-NC)?-SA [34]\.0", licence)
        assert int(clips) > 0


def test_clips_of_one_recording_are_one_row(tmp_path):
    bird, other = "Pica pica,Magpie,A. Bird", "Corvus corax,Raven,B. Bird"
    folder = table(
        tmp_path,
        f"XC2,{bird},{BY_SA},https://x.org/2",
        f"XC2,{bird},{BY_SA},https://x.org/2",
        f"XC1,{other},{BY_NC_SA},https://x.org/1",
    )
    assert recordings.main([str(folder), "--page", str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "2 recordings by 2\npeople" in text
    assert f"| [CC BY-SA 4.0]({BY_SA}) | 1 |" in text
    assert text.index("Corvus corax") < text.index("Pica pica")
    assert "| [XC2](https://x.org/2) | *Pica pica*, Magpie | A. Bird | CC BY-SA 4.0 | 2 |" in text


def test_what_nobody_could_be_credited_by_is_refused(tmp_path, capsys):
    with pytest.raises(BookError, match=r"metadata\.csv is missing; give the folder"):
        recordings.recordings(tmp_path)
    pd.DataFrame({"species": ["Pica pica"]}).to_csv(tmp_path / "metadata.csv")
    assert recordings.main([str(tmp_path), "--page", str(tmp_path / "page.md")]) == 1
    assert "lacks the column recording_id, english_name, recordist, licence, url" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_two_recordists_of_one_recording_are_refused(tmp_path):
    lines = [f"XC2,Pica pica,Magpie,{who},{BY_SA},https://x.org/2" for who in ("A. Bird", "B. Bird")]
    with pytest.raises(BookError, match="two things about recording XC2"):
        recordings.recordings(table(tmp_path, *lines))

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from imagescan.findings import ScanReport, Severity
from imagescan.gate import judge
from imagescan.reports import json_report, links
from tests.reports.examples import BROKEN, HOSTILE, INCOMPLETE, LINKS, PARTED, SOUND
from tests.reports.golden import assert_golden

DOCUMENTS = Path(__file__).parents[2] / "docs"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((DOCUMENTS / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def rendered(report: ScanReport, *, as_list: bool = False) -> str:
    return json_report.render([(report, judge(report, Severity.ERROR))], as_list=as_list)


@pytest.mark.parametrize("report", [BROKEN, SOUND, INCOMPLETE, HOSTILE, PARTED])
@pytest.mark.parametrize("as_list", [False, True])
def test_every_report_is_valid_by_its_schema(report: ScanReport, as_list: bool) -> None:
    validator("report.schema.json").validate(json.loads(rendered(report, as_list=as_list)))


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("trail", [False, True])
def test_every_link_map_is_valid_by_its_schema(closure: bool, trail: bool) -> None:
    text = links.render([LINKS], closure=closure, trail=trail, as_list=False)
    validator("links.schema.json").validate(json.loads(text))


def test_the_schemas_know_no_other_keys() -> None:
    document = json.loads(rendered(BROKEN))
    document["findings"][0]["surprise"] = 1
    assert not validator("report.schema.json").is_valid(document)


def test_the_documents_are_as_they_were_agreed() -> None:
    assert_golden("report-broken.json", rendered(BROKEN))
    assert_golden("report-hostile.json", rendered(HOSTILE))
    assert_golden("report-parted.json", rendered(PARTED))
    assert_golden("links.json", links.render([LINKS], closure=False, trail=False, as_list=False))
    assert_golden("links-closure-trail.json", links.render([LINKS], closure=True, trail=True, as_list=True))


def test_an_object_of_the_link_map_has_exactly_the_agreed_keys() -> None:
    document = json.loads(links.render([LINKS], closure=False, trail=False, as_list=False))
    assert list(document) == ["schema", "image", "objects"]
    shop = document["objects"][0]
    assert list(shop) == ["path", "kind", "libc", "loader", "needed", "versions_missing", "symbols_missing"]
    assert shop["needed"][0] == {
        "soname": "libz.so.1",
        "path": "/lib/x86_64-linux-gnu/libz.so.1",
        "real": "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
        "how": "cache",
    }
    missing = shop["symbols_missing"][0]
    assert missing["symbol"] == "PQconnectdb"
    assert missing["version"] is None


def test_a_lone_surrogate_becomes_text_and_control_characters_survive() -> None:
    text = rendered(HOSTILE)
    assert text.isascii()
    assert "\x1b" not in text
    object_path = json.loads(text)["findings"][0]["object"]
    assert object_path.startswith("\x1b[2J\r\n\u202e")
    assert "\\xff" in object_path


def test_several_reports_are_a_list_and_one_is_an_object() -> None:
    judged = [(report, judge(report, Severity.ERROR)) for report in (BROKEN, SOUND)]
    assert [one["verdict"]["exit_code"] for one in json.loads(json_report.render(judged, as_list=True))] == [
        1,
        0,
    ]
    assert isinstance(json.loads(rendered(SOUND)), dict)
    assert isinstance(json.loads(rendered(SOUND, as_list=True)), list)

"""What a new image breaks or mends, as values."""

from dataclasses import replace

from imagescan.comparison import Change, compare, pass_known
from imagescan.findings import LayerSummary, ScanReport, Severity, WaivedFinding
from tests.reports.examples import BROKEN, IMAGE, LIBRARY_MISSING, NOTE, SOUND, SYMBOLS_MISSING

MILDER = replace(LIBRARY_MISSING, severity=Severity.WARNING)
ARM = replace(BROKEN, image=replace(IMAGE, platform="linux/arm64"))


def with_findings(*findings: object) -> ScanReport:
    return replace(SOUND, findings=findings)  # type: ignore[arg-type]


def test_what_only_the_new_image_has_is_new_and_what_only_the_old_one_has_is_mended() -> None:
    (one,) = compare([with_findings(LIBRARY_MISSING, NOTE)], [with_findings(SYMBOLS_MISSING, NOTE)])
    assert one.new_findings == (SYMBOLS_MISSING,)
    assert one.mended == (LIBRARY_MISSING,)
    assert (one.worse, one.unchanged) == ((), 1)


def test_a_finding_that_became_more_severe_is_worse_and_the_gate_weighs_it() -> None:
    (one,) = compare([with_findings(MILDER)], [with_findings(LIBRARY_MISSING)])
    assert [(worse.finding, worse.before) for worse in one.worse] == [(LIBRARY_MISSING, Severity.WARNING)]
    assert (one.new_findings, one.mended, one.unchanged) == ((), (), 0)
    assert one.failing is not None
    assert one.failing.findings == (LIBRARY_MISSING,)


def test_a_finding_that_became_less_severe_is_unchanged() -> None:
    (one,) = compare([with_findings(LIBRARY_MISSING)], [with_findings(MILDER)])
    assert (one.new_findings, one.worse, one.mended, one.unchanged) == ((), (), (), 1)


def test_what_the_old_report_waived_or_knew_was_there_before() -> None:
    waived = WaivedFinding(LIBRARY_MISSING, "r", "", "w:1:1")
    old = replace(SOUND, waived=(waived,), known_before=(NOTE,))
    (one,) = compare([old], [with_findings(LIBRARY_MISSING, NOTE)])
    assert (one.new_findings, one.unchanged) == ((), 2)


def test_what_is_waived_in_the_new_image_does_not_count_and_is_not_mended() -> None:
    new = replace(SOUND, waived=(WaivedFinding(LIBRARY_MISSING, "r", "", "w:1:1"),))
    (one,) = compare([with_findings(LIBRARY_MISSING)], [new])
    assert (one.new_findings, one.mended, one.unchanged) == ((), (), 1)
    (one,) = compare([SOUND], [new])
    assert one.new_findings == ()


def test_platforms_are_compared_each_with_its_own() -> None:
    both = compare([BROKEN, ARM], [replace(ARM, findings=()), BROKEN])
    assert [(one.platform, len(one.mended), one.unchanged) for one in both] == [
        ("linux/arm64", 3, 0),
        ("linux/amd64", 0, 3),
    ]


def test_on_a_platform_that_only_the_new_image_has_everything_is_new() -> None:
    amd64, arm64 = compare([BROKEN], [BROKEN, ARM])
    assert amd64.new_findings == ()
    assert (arm64.old, len(arm64.new_findings)) == (None, 3)


def test_a_platform_that_only_the_old_image_has_is_told_and_mends_nothing() -> None:
    _, lost = compare([BROKEN, ARM], [BROKEN])
    assert (lost.platform, lost.new, lost.failing, lost.mended) == ("linux/arm64", None, None, ())


def test_single_images_are_compared_whatever_their_platforms() -> None:
    (one,) = compare([BROKEN], [ARM])
    assert one.unchanged == 3
    assert one.changes == (Change("platform", "linux/amd64", "linux/arm64"),)


def test_layers_are_compared_by_what_they_hold() -> None:
    rebuilt = replace(IMAGE.layers[1], diff_id="sha256:" + "ee" * 32)
    appended = LayerSummary(2, "", "sha256:" + "ff" * 32, None, "RUN more")
    image = replace(IMAGE, layers=(IMAGE.layers[0], rebuilt, appended))
    (one,) = compare([SOUND], [replace(SOUND, image=image)])
    assert one.shared_layers == 1
    assert one.added_layers == (rebuilt, appended)
    assert one.removed_layers == IMAGE.layers[1:]


def test_a_changed_libc_and_startup_command_are_told() -> None:
    image = replace(IMAGE, libc=("musl 1.2.5",), distribution="Alpine Linux v3.22")
    new = replace(SOUND, image=image, startup_command=("/bin/sh", "-c", "a b"))
    (one,) = compare([SOUND], [new])
    assert [(change.name, change.new) for change in one.changes] == [
        ("distribution", "Alpine Linux v3.22"),
        ("libc", "musl 1.2.5"),
        ("startup_command", "/bin/sh -c 'a b'"),
    ]


def test_a_finding_without_fingerprint_is_never_known() -> None:
    nameless = replace(LIBRARY_MISSING, fingerprint="")
    parted = pass_known(with_findings(nameless), [with_findings(nameless)], "b.json")
    assert parted.findings == (nameless,)


def test_platforms_that_mean_the_same_are_the_same() -> None:
    spelt_out = replace(ARM, image=replace(IMAGE, platform="linux/arm64/v8"))
    both = compare([BROKEN, ARM], [BROKEN, spelt_out])
    assert [(one.unchanged, one.changes) for one in both] == [(3, ()), (3, ())]
    assert pass_known(spelt_out, [ARM], "b.json").findings == ()


def test_an_image_that_could_not_be_read_is_no_baseline() -> None:
    unread = replace(SOUND, image=replace(IMAGE, platform="", layers=()))
    assert pass_known(BROKEN, [unread], "b.json").remarks[0].where == "b.json"

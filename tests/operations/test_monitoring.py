"""Alerts, recording rules and the dashboard: Prometheus understands them, they fire when they should, and all
that they name is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import generated
from tests.support.promql import named
from tests.support.series import OF_THE_LIBRARY, Series, everything

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "vsi_esl.rules.yml"
TESTS = RULES.with_name("vsi_esl.rules.test.yml")
SCRAPE = RULES.with_name("scrape.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "vsi_esl.json"
PAGE = ROOT / "docs" / "monitoring.md"
ADDED = {"job", "instance", "switch"}
"""Labels that Prometheus adds, and that of services with several switches."""
NOT_WATCHED = set(
    """
    vsi_esl_amd_beeps_total vsi_esl_amd_results_total vsi_esl_bridges vsi_esl_companion_connects_total
    vsi_esl_companion_request_seconds vsi_esl_fetches vsi_esl_fetches_refused_total
    vsi_esl_groups_grown vsi_esl_groups_parted_total vsi_esl_groups_united_total
    vsi_esl_internal_channels_astray_total vsi_esl_live_caught_up_seconds_total vsi_esl_live_cut_seconds_total
    vsi_esl_live_first_text_seconds vsi_esl_live_reconnects_total
    vsi_esl_playbacks vsi_esl_recordings_awaited vsi_esl_redis_commands_total vsi_esl_requests_over_total
    vsi_esl_requests_under_way vsi_esl_s3_buckets_unverified_total vsi_esl_services
    vsi_esl_state_shipped_total vsi_esl_state_turned_down_total vsi_esl_stream_apart
    vsi_esl_stream_handed_on_total vsi_esl_stream_lag vsi_esl_stream_lost_total
    vsi_esl_stream_received_total vsi_esl_stream_refused_total vsi_esl_stream_withdrawn_total vsi_esl_streams
    vsi_esl_switch_capacity vsi_esl_switch_commands_lost_total vsi_esl_switch_commands_withdrawn_total
    vsi_esl_switch_draining
    vsi_esl_switch_events_total vsi_esl_switch_legs vsi_esl_switch_refreshes_total
    vsi_esl_tether_setup_seconds vsi_esl_tethers vsi_esl_tethers_failed_total vsi_esl_tethers_made_total
    vsi_esl_tethers_refused_total vsi_esl_transcriptions vsi_esl_transfer_requests vsi_esl_transfers
    vsi_esl_tts_cache_failures_total vsi_esl_tts_cache_hits_total vsi_esl_tts_cache_misses_total
    vsi_esl_tts_retries_total vsi_esl_utterances vsi_esl_webhooks_claimed_total
    vsi_esl_webhooks_left_total vsi_esl_webhooks_shared vsi_esl_webrtc_legs vsi_esl_webrtc_legs_waiting
    vsi_esl_work_queued vsi_esl_work_withdrawn_total
    """.split()
)
"""For who looks into something: on the page of series, and in no panel or alert."""

OF_A_JOB = {"VsiEslSwitchUnowned", "VsiEslSwitchOwnedTwice"}
"""Alerts that are of all services of a deployment, and so of no instance."""

NO_SERIES = {"vsi_esl_bound", "vsi_esl_guarded"}
"""Context variables, which are called so as well."""

GROUPS = yaml.safe_load(RULES.read_text())["groups"]
RECORDS = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"rule {name}": rule["expr"] for name, rule in (RECORDS | ALERTS).items()},
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    },
}


@pytest.fixture(scope="module")
def there() -> list[Series]:
    """Every series that a service can have."""
    return [one for one, _ in everything().values()]


@pytest.fixture(scope="module")
def samples(there: list[Series]) -> dict[str, set[str]]:
    """The labels that a name may be asked for with; those of recording rules are what they group by."""
    known = {name: set(one.labels) | ADDED for one in there for name in one.samples}
    known |= {name: labels | {"le"} for name, labels in known.items() if name.endswith("_bucket")}
    known |= {name: named(rule["expr"]).labels | ADDED for name, rule in RECORDS.items()}
    return {**known, "up": ADDED}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_is_named_is_there(where, samples):
    found = named(EXPRESSIONS[where])
    assert found.series, where
    for name, labels in found.series.items():
        assert name in samples, name
        assert labels <= samples[name], (name, labels)
    assert found.labels <= set().union(*(samples[name] for name in found.series)) | {"le"}


def test_the_page_of_series_is_what_there_is():
    assert (ROOT / "docs" / "metrics.md").read_text() == generated.metrics(), "run python -m tests.generated"


def test_every_series_of_the_code_is_one_that_a_service_can_have(there):
    """One that is shown for some settings only has to be had by a service of `support.series.ONLY`."""
    written = {
        name
        for path in (ROOT / "vsi_esl").rglob("*.py")
        for name in re.findall(r"\"((?:vsi_esl|voiceblender)_[a-z0-9_]+)\"", path.read_text())
    }
    known = {name for one in there for name in (*one.samples, one.name.removesuffix("_total"))}
    assert {"vsi_esl_tethers", "vsi_esl_redis_up", "vsi_esl_loop_lag_seconds_bucket"} <= written
    assert written - known == NO_SERIES


def test_every_series_says_what_it_is(there):
    for one in there:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", one.name)
        assert one.text.strip(), one.name
        assert one.name.startswith(("vsi_esl_", "voiceblender_", *OF_THE_LIBRARY)), one.name


def test_each_alert_has_what_a_person_at_night_needs():
    page = PAGE.read_text()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert {"summary", "description"} == set(rule["annotations"]), name
        assert f"\n### {name}\n" in page, f"docs/monitoring.md does not say what to do about {name}"
    assert set(re.findall(r"^### (VsiEsl\w+)$", page, re.MULTILINE)) == set(ALERTS)


def test_each_alert_is_tried_where_it_fires_and_where_it_does_not():
    asked = yaml.safe_load(TESTS.read_text())["tests"][0]["promql_expr_test"]
    tried = {one["expr"]: [sample["value"] for sample in one["exp_samples"]] for one in asked}
    for name in ALERTS:
        where = "job" if name in OF_A_JOB else "instance"
        alert = f'alertname="{name}", alertstate="firing"'
        assert tried[f'count(ALERTS{{{alert}, {where}="{name} fires"}})'] == [1]
        assert tried[f'count(ALERTS{{{alert}, {where}="{name} is quiet"}})'] == []


def promtool() -> str:
    """Prometheus' own tool; where it is not, the test that needs it says so."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.skip("no promtool here: apt-get install prometheus, or PROMTOOL=path")
    return found


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", str(RULES)), ("test", "rules", str(TESTS))],
    ids=["the rules are understood", "the rules do what they are for"],
)
def test_promtool(arguments):
    done = subprocess.run(
        [promtool(), *arguments], capture_output=True, text=True, timeout=100, cwd=RULES.parent, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


def test_the_scrape_configuration_is_understood(tmp_path):
    shutil.copy(RULES, tmp_path)
    text = SCRAPE.read_text().replace("/etc/prometheus/vsi_esl.token", str(tmp_path / "token"))
    (tmp_path / "token").write_text("secret")
    (tmp_path / "prometheus.yml").write_text(text)
    command = [promtool(), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS["VsiEslDown"]["expr"]


def test_the_dashboard_is_one_that_grafana_takes():
    board = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 39
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    variables = {one["name"] for one in board["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}
    used = set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text()))
    assert used == variables
    for panel in PANELS:
        assert panel["description"] and panel["title"], panel["id"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            for name in re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]):
                assert name in ADDED | _labels(target["expr"]), (panel["title"], name)


UNITS = {"short", "s", "percentunit", "cps", "reqps", "bytes"}


def _labels(expression: str) -> set[str]:
    """What is left of the labels, as far as grouping tells; all of them where nothing is grouped."""
    found = named(expression)
    of_records = [named(RECORDS[name]["expr"]).labels for name in found.series if name in RECORDS]
    plain = {"outcome", "place"} if " by " not in expression else set()
    return set().union(found.labels, plain, *of_records)


def test_panels_do_not_lie_on_each_other():
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for cell in _cells(panel["gridPos"]):
            assert cell not in taken, (panel["title"], taken[cell])
            assert cell[0] < 24
            taken[cell] = panel["title"]


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_a_series_that_nothing_shows_is_known(there):
    """Whoever adds a series shows it somewhere, or adds it to those that only the page of series has."""
    used = {name for expression in EXPRESSIONS.values() for name in named(expression).series}
    queries = DASHBOARD.read_text()
    unseen = [
        one.name
        for one in there
        if not (set(one.samples) & used) and one.name not in queries and one.name.startswith("vsi_esl_")
    ]
    assert set(unseen) == NOT_WATCHED, set(unseen) ^ NOT_WATCHED


@pytest.mark.parametrize(
    ("expression", "names", "labels"),
    [
        ('rate(a_total{b="x{}", c=~"\\"d"}[5m]) / 2e3', {"a_total": {"b", "c"}}, set()),
        (
            "sum by (x, y) (a) unless on (z) b offset 5m > bool 1h",
            {"a": set(), "b": set()},
            {"x", "y", "z"},
        ),
        (
            "histogram_quantile(0.9, sum without(le) (rate(a:b{c!='d'}[$__rate_interval])))",
            {"a:b": {"c"}},
            {"le"},
        ),
    ],
)
def test_what_an_expression_names(expression, names, labels):
    found = named(expression)
    assert (found.series, found.labels) == (names, labels)


def test_what_is_no_expression_is_said():
    with pytest.raises(ValueError, match="not PromQL"):
        named("rate(a[5m]) ; b")

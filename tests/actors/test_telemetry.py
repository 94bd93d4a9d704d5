"""Metrics as text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from jobwire.actors.runtime.telemetry import Telemetry


def test_all_metrics_are_shown_from_the_beginning_with_a_word_on_each() -> None:
    text = Telemetry().render().decode()

    families = list(text_string_to_metric_families(text))

    assert len(families) > 8
    assert all(family.name.startswith("jobwire_") for family in families)
    assert all(family.documentation for family in families)


def test_what_was_counted_is_shown() -> None:
    telemetry = Telemetry()
    telemetry.events_accepted.inc(3)
    telemetry.requests_refused.labels("invalid_json").inc()
    telemetry.streams_open.inc()
    telemetry.batch_events.observe(7)

    text = telemetry.render().decode()

    assert "jobwire_events_accepted_total 3.0" in text
    assert 'jobwire_requests_refused_total{code="invalid_json"} 1.0' in text
    assert "jobwire_streams_open 1.0" in text
    assert 'jobwire_batch_events_bucket{le="16.0"} 1.0' in text


def test_two_services_in_one_process_share_no_metric() -> None:
    one, two = Telemetry(), Telemetry()

    one.events_accepted.inc()

    assert "jobwire_events_accepted_total 0.0" in two.render().decode()


def test_no_metric_is_labelled_by_a_job() -> None:
    labels = {
        label
        for metric in Telemetry().registry._collector_to_names
        for label in getattr(metric, "_labelnames", ())
    }

    assert labels == {"applied", "reason", "code", "kind", "result"}
